-- The rules of the kill switch that no program may break, whoever connects.
-- Refusals carry the SQLSTATEs 23R01 to 23R03.

CREATE FUNCTION risk_switch_severity(mode text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE mode WHEN 'ACTIVE' THEN 0 WHEN 'REDUCING' THEN 1 WHEN 'HALTED' THEN 2 END
$$;

-- A switch tightens by a word and loosens by the approved request that this very transaction executes: one that names
-- this switch, the stop it answers, and the mode to go to.
CREATE FUNCTION risk_check_switch() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    warrant uuid;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.version <> 1 OR NEW.request_id IS NOT NULL OR NEW.mode = 'ACTIVE' THEN
            RAISE EXCEPTION 'A switch begins with its first stop.' USING ERRCODE = '23R01';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.venue) IS DISTINCT FROM (OLD.id, OLD.venue) OR NEW.book_id IS DISTINCT FROM OLD.book_id THEN
        RAISE EXCEPTION 'What a switch is for never changes.' USING ERRCODE = '23R01';
    END IF;
    IF NEW.version <> OLD.version + 1 THEN
        RAISE EXCEPTION 'Every turn of a switch is its next version.' USING ERRCODE = '23R01';
    END IF;
    IF risk_switch_severity(NEW.mode) < risk_switch_severity(OLD.mode) THEN
        warrant := compliance_executing('risk.restore_trading');
        IF warrant IS NULL OR NEW.request_id IS DISTINCT FROM warrant OR NOT EXISTS (
            SELECT FROM compliance_approvalrequest r
             WHERE r.id = warrant AND r.payload ->> 'switch' = OLD.id::text
               AND r.payload ->> 'version' = OLD.version::text AND r.payload ->> 'mode' = NEW.mode
        ) THEN
            RAISE EXCEPTION 'Trading is restored by an approved request alone.' USING ERRCODE = '23R02';
        END IF;
    ELSIF NEW.request_id IS NOT NULL THEN
        RAISE EXCEPTION 'A stop needs no request, and names none.' USING ERRCODE = '23R01';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_switch BEFORE INSERT OR UPDATE ON risk_killswitch
    FOR EACH ROW EXECUTE FUNCTION risk_check_switch();
CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON risk_killswitch
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();

-- The board's version grows with whatever can change a mode. Its row is locked until the commit, so that a higher version
-- was committed later; `changed_xid` tells a reader that it would see what is not committed yet.
CREATE FUNCTION risk_raise_board() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO risk_switchboard (id, version, changed_xid)
         VALUES (1, 1, pg_current_xact_id()::text::bigint)
    ON CONFLICT (id) DO UPDATE
            SET version = risk_switchboard.version + 1, changed_xid = pg_current_xact_id()::text::bigint;
    RETURN NULL;
END $$;
CREATE FUNCTION risk_check_board() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 OR (TG_OP = 'UPDATE' AND NEW.version <> OLD.version + 1) THEN
        RAISE EXCEPTION 'The board counts by itself.' USING ERRCODE = '23R01';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_board BEFORE INSERT OR UPDATE ON risk_switchboard
    FOR EACH ROW EXECUTE FUNCTION risk_check_board();
CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON risk_switchboard
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER raise_board AFTER INSERT OR UPDATE ON risk_killswitch
    FOR EACH STATEMENT EXECUTE FUNCTION risk_raise_board();
CREATE TRIGGER raise_board AFTER INSERT OR DELETE OR TRUNCATE ON risk_limitbreach
    FOR EACH STATEMENT EXECUTE FUNCTION risk_raise_board();
CREATE TRIGGER raise_board_on_change AFTER UPDATE OF status, level, actions, book_id ON risk_limitbreach
    FOR EACH STATEMENT EXECUTE FUNCTION risk_raise_board();

-- Every turn leaves a row, whoever made it.
CREATE FUNCTION risk_keep_switch_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO risk_switchchange (switch_id, version, mode_before, mode, cause, reason, detail, changed_by_id,
                                   changed_at, request_id)
         VALUES (NEW.id, NEW.version, CASE WHEN TG_OP = 'INSERT' THEN 'ACTIVE' ELSE OLD.mode END, NEW.mode, NEW.cause,
                 NEW.reason, NEW.detail, NEW.changed_by_id, NEW.changed_at, NEW.request_id);
    RETURN NULL;
END $$;
CREATE TRIGGER keep_change AFTER INSERT OR UPDATE ON risk_killswitch
    FOR EACH ROW EXECUTE FUNCTION risk_keep_switch_change();
CREATE FUNCTION risk_check_switch_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 OR NOT EXISTS (
        SELECT FROM risk_killswitch k
         WHERE k.id = NEW.switch_id AND k.version = NEW.version AND k.mode = NEW.mode AND k.changed_at = NEW.changed_at
    ) THEN
        RAISE EXCEPTION 'The history of a switch is written by its turning alone.' USING ERRCODE = '23R01';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new BEFORE INSERT ON risk_switchchange
    FOR EACH ROW EXECUTE FUNCTION risk_check_switch_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk_switchchange
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();

-- What stops trading by itself is set by an approved request, word for word.
CREATE FUNCTION risk_check_trigger_policy() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    warrant uuid := compliance_executing('risk.set_trigger_policy');
BEGIN
    IF warrant IS NULL OR NEW.request_id IS DISTINCT FROM warrant OR NOT EXISTS (
        SELECT FROM compliance_approvalrequest r LEFT JOIN treasury_book b ON b.id = NEW.book_id
         WHERE r.id = warrant AND r.payload ->> 'cause' = NEW.cause
           AND coalesce(r.payload ->> 'book', '') = coalesce(b.path, '')
           AND (r.payload ->> 'threshold')::numeric = NEW.threshold
           AND (r.payload ->> 'window_s')::integer IS NOT DISTINCT FROM NEW.window_s
           AND r.payload ->> 'mode' = NEW.mode AND (r.payload ->> 'enabled')::boolean = NEW.enabled
    ) THEN
        RAISE EXCEPTION 'A trigger policy comes from its approved request alone.' USING ERRCODE = '23R03';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new BEFORE INSERT ON risk_triggerpolicy
    FOR EACH ROW EXECUTE FUNCTION risk_check_trigger_policy();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk_triggerpolicy
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
