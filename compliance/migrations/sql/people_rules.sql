-- Who is who does not change behind what was signed.

CREATE FUNCTION compliance_check_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.reference) IS DISTINCT FROM (OLD.id, OLD.reference) THEN
        RAISE EXCEPTION 'A person''s reference never changes: signatures name it.' USING ERRCODE = '23A03';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_change BEFORE UPDATE ON compliance_person
    FOR EACH ROW EXECUTE FUNCTION compliance_check_person();

-- A delegation can end from now on; that it was is a fact. (A minute, for clocks that differ.)
CREATE FUNCTION compliance_check_delegation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.id, NEW.principal_id, NEW.delegate_id, NEW.starts_at)
       IS DISTINCT FROM (OLD.id, OLD.principal_id, OLD.delegate_id, OLD.starts_at)
       OR OLD.ends_at < statement_timestamp()
       OR NEW.ends_at < statement_timestamp() - interval '1 minute' THEN
        RAISE EXCEPTION 'A delegation is only ended, and not in the past.' USING ERRCODE = '23A03';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_change BEFORE UPDATE ON compliance_delegation
    FOR EACH ROW EXECUTE FUNCTION compliance_check_delegation();
