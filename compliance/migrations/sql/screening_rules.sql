-- The restricted list is loosened, and the rules of screening are changed, by an executing request alone.

CREATE FUNCTION compliance_check_restriction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'A restriction is lifted, never deleted.' USING ERRCODE = '23A03';
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF NEW.lifted_at IS NOT NULL THEN
            RAISE EXCEPTION 'A restriction begins in force.' USING ERRCODE = '23A03';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.lifted_at IS NOT NULL
       OR (to_jsonb(NEW) - 'lifted_at' - 'lifted_by_request_id')
          IS DISTINCT FROM (to_jsonb(OLD) - 'lifted_at' - 'lifted_by_request_id') THEN
        RAISE EXCEPTION 'A restriction never changes: put a new one on the list, or lift this one.' USING ERRCODE = '23A03';
    END IF;
    IF NEW.lifted_by_request_id IS NULL
       OR NEW.lifted_by_request_id IS DISTINCT FROM compliance_executing('compliance.lift_restriction') THEN
        RAISE EXCEPTION 'A restriction is lifted by its approved request alone.' USING ERRCODE = '23A09';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_restriction BEFORE INSERT OR UPDATE OR DELETE ON compliance_restrictedinstrument
    FOR EACH ROW EXECUTE FUNCTION compliance_check_restriction();

CREATE FUNCTION compliance_check_screening_policy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.request_id IS DISTINCT FROM compliance_executing('compliance.set_screening_policy') OR NEW.request_id IS NULL THEN
        RAISE EXCEPTION 'Rules of screening come from their approved request alone.' USING ERRCODE = '23A09';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new BEFORE INSERT ON compliance_screeningpolicy
    FOR EACH ROW EXECUTE FUNCTION compliance_check_screening_policy();

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON compliance_screeningpolicy
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();

-- What was found does not change; only what was made of it.
CREATE FUNCTION compliance_check_flag() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'A flag is decided, never deleted.' USING ERRCODE = '23A03';
    END IF;
    IF (to_jsonb(NEW) - 'state' - 'decided_by_id' - 'decided_at' - 'note')
       IS DISTINCT FROM (to_jsonb(OLD) - 'state' - 'decided_by_id' - 'decided_at' - 'note') OR NEW.state = 'open' THEN
        RAISE EXCEPTION 'What was found does not change; decide the flag.' USING ERRCODE = '23A03';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_flag BEFORE UPDATE OR DELETE ON compliance_screeningflag
    FOR EACH ROW EXECUTE FUNCTION compliance_check_flag();
