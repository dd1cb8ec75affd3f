-- Leverage: policies come from the gate alone, and no decision goes beyond the policy in force, whoever connects.

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk_leveragepolicy
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk_leveragedecision
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();

CREATE FUNCTION risk_check_leverage_policy() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.request_id IS DISTINCT FROM compliance_executing('risk.set_leverage_policy')
       OR NOT EXISTS (SELECT FROM compliance_approvalrequest r
                       WHERE r.id = NEW.request_id AND r.payload = NEW.document)
       OR NEW.version <> 1 + coalesce((SELECT max(version) FROM risk_leveragepolicy), 0) THEN
        RAISE EXCEPTION 'A leverage policy comes from its approved request alone.' USING ERRCODE = '23A09';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new BEFORE INSERT ON risk_leveragepolicy
    FOR EACH ROW EXECUTE FUNCTION risk_check_leverage_policy();

CREATE FUNCTION risk_check_leverage_decision() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    rules jsonb;
    last risk_leveragedecision;
    turned timestamptz;
BEGIN
    SELECT document INTO rules FROM risk_leveragepolicy
     WHERE id = NEW.policy_id AND version = (SELECT max(version) FROM risk_leveragepolicy);
    IF rules IS NULL THEN
        RAISE EXCEPTION 'Leverage is decided by the policy in force.' USING ERRCODE = '23L01';
    END IF;
    SELECT * INTO last FROM risk_leveragedecision WHERE book_id = NEW.book_id ORDER BY number DESC LIMIT 1;
    IF NEW.number <> coalesce(last.number, 0) + 1 OR NEW.from_leverage IS DISTINCT FROM last.to_leverage
       OR NEW.at < last.at OR NEW.changed <> (NEW.to_leverage IS DISTINCT FROM NEW.from_leverage) THEN
        RAISE EXCEPTION 'A decision begins where the last one of its book ended.' USING ERRCODE = '23L02';
    END IF;
    IF NEW.rule = 'start' AND NEW.to_leverage > (rules ->> 'start')::numeric THEN
        RAISE EXCEPTION 'A book starts where the policy says.' USING ERRCODE = '23L03';
    END IF;
    IF NEW.rule = 'hold' AND NEW.changed OR NEW.rule IN ('step_down', 'cap', 'by_hand')
       AND NOT NEW.to_leverage < NEW.from_leverage THEN
        RAISE EXCEPTION 'The rule named does not do that.' USING ERRCODE = '23L03';
    END IF;
    IF NEW.rule = 'by_hand' AND NEW.actor_id IS NULL THEN
        RAISE EXCEPTION 'What is done by hand is done by somebody.' USING ERRCODE = '23L03';
    END IF;
    IF NEW.from_leverage IS NOT NULL AND NEW.to_leverage > NEW.from_leverage THEN
        SELECT max(at) INTO turned FROM risk_leveragedecision WHERE book_id = NEW.book_id AND changed;
        IF NEW.rule <> 'step_up'
           OR NEW.to_leverage > (rules ->> 'cap')::numeric
           OR NEW.to_leverage > NEW.from_leverage + (rules ->> 'step')::numeric
           OR NEW.sample_size < (rules ->> 'min_observations')::int
           OR NEW.sharpe IS NULL OR NOT NEW.sharpe > (rules ->> 'min_sharpe')::float8
           OR NEW.drawdown_frac IS NULL OR NOT NEW.drawdown_frac < (rules ->> 'max_drawdown_frac')::float8
           OR NEW.at < turned + make_interval(hours => (rules ->> 'step_up_cooldown_h')::int) THEN
            RAISE EXCEPTION 'The policy in force does not allow this step up.' USING ERRCODE = '23L04';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new BEFORE INSERT ON risk_leveragedecision
    FOR EACH ROW EXECUTE FUNCTION risk_check_leverage_decision();
