-- Two records of one human being count as one from the moment that is declared. Each record points to at most one other;
-- the one at the end of the chain stands for the human.

CREATE FUNCTION public.compliance_human(who bigint) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    WITH RECURSIVE chain (person, depth) AS (
        SELECT who, 0
        UNION ALL
        SELECT m.same_as_id, c.depth + 1 FROM chain c JOIN public.compliance_personmerge m ON m.person_id = c.person
         WHERE c.depth < 1000)
    SELECT person FROM chain ORDER BY depth DESC LIMIT 1
$$;

CREATE FUNCTION public.compliance_check_merge() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    said jsonb;
BEGIN
    SELECT r.payload INTO said FROM public.compliance_approvalrequest r
     WHERE r.id = NEW.request_id AND r.id = compliance_executing('compliance.merge_people');
    IF said IS NULL THEN
        RAISE EXCEPTION 'Two people are declared one by an approved request alone.' USING ERRCODE = '23A09';
    END IF;
    IF compliance_human(NEW.person_id) <> NEW.person_id OR compliance_human(NEW.same_as_id) <> NEW.same_as_id
       OR NEW.person_id = NEW.same_as_id THEN
        RAISE EXCEPTION 'These two count as one already.' USING ERRCODE = '23A03';
    END IF;
    IF NEW.same_as_id <> compliance_human((SELECT id FROM public.compliance_person WHERE reference = said ->> 'same_as'))
       OR NEW.person_id <> compliance_human((SELECT id FROM public.compliance_person WHERE reference = said ->> 'person'))
       THEN
        RAISE EXCEPTION 'These are not the people of the request.' USING ERRCODE = '23A09';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new BEFORE INSERT ON compliance_personmerge
    FOR EACH ROW EXECUTE FUNCTION compliance_check_merge();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON compliance_personmerge
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();

-- The rules of the gate again, asking for the human instead of the record.
CREATE FUNCTION public.compliance_acts_for(delegate bigint, principal bigint, since timestamptz, until timestamptz)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM public.compliance_delegation d
                    WHERE compliance_human(d.principal_id) = compliance_human(principal)
                      AND compliance_human(d.delegate_id) = compliance_human(delegate)
                      AND d.starts_at <= until AND (d.ends_at IS NULL OR d.ends_at > since))
$$;

CREATE FUNCTION public.compliance_check_humans_of_decision() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    asked public.compliance_approvalrequest;
BEGIN
    SELECT * INTO asked FROM public.compliance_approvalrequest WHERE id = NEW.request_id;
    IF compliance_human(NEW.person_id) = compliance_human(asked.maker_person_id)
       OR EXISTS (SELECT FROM public.compliance_approvaldecision d
                   WHERE d.statement_id = NEW.statement_id AND d.person_id <> NEW.person_id
                     AND compliance_human(d.person_id) = compliance_human(NEW.person_id)) THEN
        RAISE EXCEPTION 'Maker, checker and releaser are different people.' USING ERRCODE = '23A02';
    END IF;
    IF compliance_acts_for(NEW.person_id, asked.maker_person_id, asked.created_at, NEW.at) THEN
        RAISE EXCEPTION 'The maker''s delegate is no second pair of eyes.' USING ERRCODE = '23A02';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new_humans BEFORE INSERT ON compliance_approvaldecision
    FOR EACH ROW EXECUTE FUNCTION compliance_check_humans_of_decision();

CREATE FUNCTION public.compliance_check_humans_of_request() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF compliance_human(NEW.released_person_id) = compliance_human(NEW.maker_person_id)
       OR EXISTS (SELECT FROM public.compliance_approvaldecision d
                    JOIN public.compliance_approvalstatement s ON s.id = d.statement_id
                   WHERE s.request_id = NEW.id AND s.version = NEW.version
                     AND compliance_human(d.person_id) = compliance_human(NEW.released_person_id)) THEN
        RAISE EXCEPTION 'Maker, checker and releaser are different people.' USING ERRCODE = '23A02';
    END IF;
    IF compliance_acts_for(NEW.released_person_id, NEW.maker_person_id, NEW.created_at, NEW.released_at) THEN
        RAISE EXCEPTION 'The maker''s delegate is no other pair of hands.' USING ERRCODE = '23A02';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_change_humans BEFORE UPDATE ON compliance_approvalrequest
    FOR EACH ROW WHEN (NEW.state = 'executing' AND OLD.state = 'approved')
    EXECUTE FUNCTION compliance_check_humans_of_request();

CREATE FUNCTION public.compliance_check_humans_of_review() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM public.compliance_approvalrequest r
                WHERE r.id = NEW.request_id
                  AND compliance_human(NEW.person_id) IN (compliance_human(r.maker_person_id),
                                                          compliance_human(r.released_person_id)))
       OR EXISTS (SELECT FROM public.compliance_approvaldecision d
                   WHERE d.request_id = NEW.request_id
                     AND compliance_human(d.person_id) = compliance_human(NEW.person_id)) THEN
        RAISE EXCEPTION 'Broken glass is reviewed by someone who had no part in it.' USING ERRCODE = '23A02';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new_humans BEFORE INSERT ON compliance_approvalreview
    FOR EACH ROW EXECUTE FUNCTION compliance_check_humans_of_review();

CREATE OR REPLACE FUNCTION public.compliance_quorum_met(what bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT NOT EXISTS (SELECT FROM compliance_approvaldecision d
                        WHERE d.statement_id = s.id AND d.decision = 'reject')
       AND (
            EXISTS (SELECT FROM compliance_approvaldecision d
                     WHERE d.statement_id = s.id AND d.decision = 'break_glass'
                       AND s.break_glass_roles ? d.role AND compliance_holds_role(d.actor_id, d.role))
            OR (s.quorum <> '{}'::jsonb AND NOT EXISTS (
                SELECT FROM jsonb_each_text(s.quorum) q
                 WHERE q.value::int > (
                    SELECT count(DISTINCT compliance_human(d.person_id)) FROM compliance_approvaldecision d
                     WHERE d.statement_id = s.id AND d.decision = 'approve' AND d.role = q.key
                       AND compliance_holds_role(d.actor_id, d.role))))
       )
      FROM compliance_approvalstatement s WHERE s.id = what
$$;
