-- Tables that only the gate may write ask the gate: CREATE TRIGGER gate_guard AFTER INSERT OR UPDATE OR DELETE ON ...
-- FOR EACH STATEMENT EXECUTE FUNCTION compliance_gate_guard('app.kind', ...). Refusals carry SQLSTATE 23A09.

-- What a session puts on its search path (a temporary table of the same name) stands in for nothing of the gate's.
DO $$
DECLARE
    ours record;
BEGIN
    FOR ours IN SELECT p.oid::regprocedure AS name FROM pg_proc p
                 WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'compliance\_%' LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, public, pg_temp', ours.name);
    END LOOP;
END $$;

CREATE FUNCTION public.compliance_executing_any(kinds text[]) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM public.compliance_approvalrequest
                    WHERE state = 'executing' AND kind = ANY (kinds)
                      AND executing_xid = pg_current_xact_id()::text::bigint)
$$;

-- Are there rules in force for this kind? Policies are never removed, so what this opens or closes stays so.
CREATE FUNCTION public.compliance_founded(what text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM public.compliance_approvalpolicy WHERE kind = what)
$$;

CREATE FUNCTION public.compliance_gate_guard() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT public.compliance_executing_any(TG_ARGV) THEN
        RAISE EXCEPTION '% is written by an approved request alone (%).', TG_TABLE_NAME, array_to_string(TG_ARGV, ', ')
            USING ERRCODE = '23A09', HINT = 'Propose the change; it is done once it is signed and released.';
    END IF;
    RETURN NULL;
END $$;

-- One request can put several policies in force: the founding ones, or a reform.
CREATE OR REPLACE FUNCTION public.compliance_check_policy() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    -- The first policy of all is founded with the database; every other one is a request's.
    IF NEW.request_id IS NULL AND NEW.kind = 'compliance.set_policy' AND NEW.version = 1
       AND NOT EXISTS (SELECT FROM compliance_approvalpolicy) THEN
        RETURN NEW;
    END IF;
    IF NEW.request_id IS NULL OR NEW.request_id IS DISTINCT FROM compliance_executing('compliance.set_policy')
       OR NEW.document ->> 'kind' IS DISTINCT FROM NEW.kind
       OR NOT EXISTS (
            SELECT FROM compliance_approvalrequest r
             WHERE r.id = NEW.request_id
               AND (r.payload -> 'document' = NEW.document
                    OR EXISTS (SELECT FROM jsonb_array_elements(r.payload -> 'also') further
                                WHERE further = NEW.document))) THEN
        RAISE EXCEPTION 'A policy comes from its approved request alone.' USING ERRCODE = '23A09';
    END IF;
    RETURN NEW;
END $$;
