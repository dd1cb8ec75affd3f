-- The rules of the audit stream that no program may break, whoever connects.

CREATE FUNCTION compliance_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % refused: the table is append-only. Record a new event instead.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON compliance_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON compliance_auditseal
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON compliance_auditanchor
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();

-- Which transaction wrote an event is the database's word: sealing finds late committers by it.
CREATE FUNCTION compliance_stamp_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.created_xid := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END $$;

CREATE TRIGGER stamp_transaction BEFORE INSERT ON compliance_auditevent
    FOR EACH ROW EXECUTE FUNCTION compliance_stamp_transaction();

-- A seal joins the chain at its end or not at all: no gap, no fork, no second beginning.
CREATE FUNCTION compliance_check_seals() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    broken bigint;
BEGIN
    SELECT min(n.seq) INTO broken
      FROM added n LEFT JOIN compliance_auditseal p ON p.seq = n.seq - 1
     WHERE n.prev_hash IS DISTINCT FROM CASE WHEN n.seq = 1 THEN repeat('0', 64) ELSE p.hash END;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'seal % does not continue the audit chain', broken USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER continue_chain AFTER INSERT ON compliance_auditseal
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_check_seals();
