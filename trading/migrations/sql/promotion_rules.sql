-- The rules of the gate come from their approved request; a review changes by its own steps, and never loses any.

CREATE TRIGGER gate_guard AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON trading_gatepolicyversion
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_gate_guard('trading.set_gate_policy');
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trading_gatepolicyversion
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trading_reviewstep
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trading_liverecord
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();

CREATE FUNCTION trading_check_review() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'A review is never deleted.' USING ERRCODE = '23B03';
    END IF;
    IF (NEW.cohort_id, NEW.agent_id, NEW.policy_version, NEW.evidence_sha256, NEW.verdict, NEW.passed, NEW.compiled_at)
       IS DISTINCT FROM
       (OLD.cohort_id, OLD.agent_id, OLD.policy_version, OLD.evidence_sha256, OLD.verdict, OLD.passed, OLD.compiled_at) THEN
        RAISE EXCEPTION 'What a review found does not change.' USING ERRCODE = '23B03';
    END IF;
    IF NEW.state IS NOT DISTINCT FROM OLD.state THEN
        RETURN NEW;
    END IF;
    IF (OLD.state, NEW.state) NOT IN (
        ('compiled', 'screened'), ('screened', 'awaiting_approval'), ('screened', 'rejected'), ('screened', 'expired'),
        ('rejected', 'awaiting_approval'), ('awaiting_approval', 'approved'), ('awaiting_approval', 'screened'),
        ('awaiting_approval', 'rejected'), ('awaiting_approval', 'expired'), ('approved', 'screened'),
        ('approved', 'rejected'), ('approved', 'expired'), ('approved', 'deployed'), ('deployed', 'monitoring'),
        ('deployed', 'rolled_back'), ('monitoring', 'graduated'), ('monitoring', 'rolled_back'),
        ('graduated', 'rolled_back')) THEN
        RAISE EXCEPTION 'A review that is % does not become %.', OLD.state, NEW.state USING ERRCODE = '23B03';
    END IF;
    IF NEW.state = 'deployed' AND compliance_executing('trading.promote') IS DISTINCT FROM NEW.request_id THEN
        RAISE EXCEPTION 'A candidate is deployed by its approved request alone.' USING ERRCODE = '23A09';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_review BEFORE UPDATE OR DELETE ON trading_promotionreview
    FOR EACH ROW EXECUTE FUNCTION trading_check_review();
