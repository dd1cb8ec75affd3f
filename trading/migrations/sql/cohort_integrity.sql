-- What a cohort was asked for, and what its closed days measured, does not change; whoever writes.

-- Status moves by the run's own steps; the Book is given once; the rest is as it was launched.
CREATE FUNCTION trading_check_cohort() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before jsonb := to_jsonb(OLD) - ARRAY['status', 'finished_at', 'failure', 'waiting_for', 'book_id'];
    after jsonb;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'A cohort is never deleted. Cancel it.' USING ERRCODE = '23B04';
    END IF;
    after := to_jsonb(NEW) - ARRAY['status', 'finished_at', 'failure', 'waiting_for', 'book_id'];
    IF before IS DISTINCT FROM after THEN
        RAISE EXCEPTION 'What was launched does not change: launch another cohort.' USING ERRCODE = '23B04';
    END IF;
    IF OLD.book_id IS NOT NULL AND NEW.book_id IS DISTINCT FROM OLD.book_id THEN
        RAISE EXCEPTION 'A cohort keeps its Book.' USING ERRCODE = '23B04';
    END IF;
    IF NEW.status IS DISTINCT FROM OLD.status AND (
        OLD.status IN ('completed', 'cancelled') OR (OLD.status = 'failed' AND NEW.status NOT IN ('queued', 'running')))
    THEN
        RAISE EXCEPTION 'A cohort that is % does not become %.', OLD.status, NEW.status USING ERRCODE = '23B04';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_change BEFORE UPDATE OR DELETE ON trading_cohort
    FOR EACH ROW EXECUTE FUNCTION trading_check_cohort();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON trading_cohort
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();

-- Parents are named at the launch, before anything runs.
CREATE FUNCTION trading_check_parents() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' OR EXISTS (SELECT FROM trading_cohortrun r WHERE r.cohort_id = NEW.from_cohort_id) THEN
        RAISE EXCEPTION 'The parents of a launched cohort do not change.' USING ERRCODE = '23B04';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_change BEFORE INSERT OR UPDATE OR DELETE ON trading_cohort_parents
    FOR EACH ROW EXECUTE FUNCTION trading_check_parents();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON trading_cohort_parents
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();

-- The bookmark goes forward: a bar that was traded is not traded again.
CREATE FUNCTION trading_check_cohort_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.cohort_id <> OLD.cohort_id OR NEW.next_bar_ms < OLD.next_bar_ms
       OR NEW.fills_done < OLD.fills_done OR NEW.rejections_done < OLD.rejections_done THEN
        RAISE EXCEPTION 'A run goes forward only.' USING ERRCODE = '23B04';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_change BEFORE UPDATE OR DELETE ON trading_cohortrun
    FOR EACH ROW EXECUTE FUNCTION trading_check_cohort_run();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON trading_cohortrun
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();

-- A day that is still trading is scored anew with every stretch; one that has closed is evidence.
CREATE FUNCTION trading_check_closed_day() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.complete THEN
        RAISE EXCEPTION 'Day % has closed: what it measured does not change.', OLD.day USING ERRCODE = '23B04';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'A day that has begun is not deleted.' USING ERRCODE = '23B04';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER closed_day BEFORE UPDATE OR DELETE ON trading_agentday
    FOR EACH ROW EXECUTE FUNCTION trading_check_closed_day();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON trading_agentday
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER closed_day BEFORE UPDATE OR DELETE ON trading_cohortday
    FOR EACH ROW EXECUTE FUNCTION trading_check_closed_day();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON trading_cohortday
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
