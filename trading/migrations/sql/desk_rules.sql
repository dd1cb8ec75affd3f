-- What the database itself holds about deployments and their desks.

-- A deployment comes from an executed request of the gate; what it is does not change afterwards.
CREATE FUNCTION trading_check_deployment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Deployments are not deleted. Stop it.' USING ERRCODE = '23B01';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.request_id IS NULL OR NOT EXISTS (
            SELECT FROM unnest(ARRAY['trading.deploy', 'trading.promote']) AS kinds (kind)
             WHERE compliance_executing(kinds.kind) = NEW.request_id) THEN
            RAISE EXCEPTION 'A deployment comes from its approved request alone.' USING ERRCODE = '23B01';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.book_id, NEW.source_book_id, NEW.agent_id, NEW.request_id, NEW.family, NEW.genome, NEW.gateway, NEW.venue,
        NEW.symbols, NEW.interval, NEW.cost_profile, NEW.start_ms, NEW.leverage, NEW.start_leverage, NEW.quorum_frac)
       IS DISTINCT FROM
       (OLD.book_id, OLD.source_book_id, OLD.agent_id, OLD.request_id, OLD.family, OLD.genome, OLD.gateway, OLD.venue,
        OLD.symbols, OLD.interval, OLD.cost_profile, OLD.start_ms, OLD.leverage, OLD.start_leverage, OLD.quorum_frac) THEN
        RAISE EXCEPTION 'What was approved does not change: ask for another deployment.' USING ERRCODE = '23B01';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_change BEFORE INSERT OR UPDATE OR DELETE ON trading_deployment
    FOR EACH ROW EXECUTE FUNCTION trading_check_deployment();

-- A council is seated by the request that opens its deployment. Afterwards a weight may fall; only a request raises it,
-- never past what the voice was seated with.
CREATE FUNCTION trading_check_voice() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'Voices are not deleted. Ask for another weight.' USING ERRCODE = '23B03';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NOT public.compliance_executing_any(ARRAY['trading.deploy', 'trading.promote']) THEN
            RAISE EXCEPTION 'A council is seated by an approved request alone.' USING ERRCODE = '23B03';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.deployment_id, NEW.number, NEW.agent_id, NEW.family, NEW.genome, NEW.genome_hash, NEW.seated_weight)
       IS DISTINCT FROM
       (OLD.deployment_id, OLD.number, OLD.agent_id, OLD.family, OLD.genome, OLD.genome_hash, OLD.seated_weight) THEN
        RAISE EXCEPTION 'Of a voice that sits, the weight alone changes.' USING ERRCODE = '23B03';
    END IF;
    IF NEW.weight > OLD.weight AND NOT public.compliance_executing_any(ARRAY['trading.weigh_council']) THEN
        RAISE EXCEPTION 'A weight rises by an approved request alone.' USING ERRCODE = '23B03';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_change BEFORE INSERT OR UPDATE OR DELETE ON trading_councilvoice
    FOR EACH ROW EXECUTE FUNCTION trading_check_voice();

-- The fence: whoever lost the lease of a desk writes no cycle any more, whatever its code believes.
CREATE FUNCTION trading_check_fence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM trading_deskrun r WHERE r.deployment_id = NEW.deployment_id AND r.token = NEW.token) THEN
        RAISE EXCEPTION 'The lease of this desk went to somebody else.' USING ERRCODE = '23B02';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_fence BEFORE INSERT OR UPDATE ON trading_tradingcycle
    FOR EACH ROW EXECUTE FUNCTION trading_check_fence();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trading_fill
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trading_fundingpayment
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trading_capitalflow
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trading_paperreport
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();

-- A deployment opens with its limits: its request sets them too.
DROP TRIGGER gate_guard ON risk_risklimit;
CREATE TRIGGER gate_guard AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON risk_risklimit
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_gate_guard(
        'risk.set_limit', 'risk.retire_limit', 'risk.apply_template', 'trading.deploy', 'trading.promote');
