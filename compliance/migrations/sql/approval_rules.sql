-- The rules of the gate that no program may break, whoever connects.
-- Refusals carry the SQLSTATEs 23A01 to 23A09; compliance/approvals/refusals.py turns them into errors.

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON compliance_personaccount
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON compliance_approvalpolicy
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON compliance_approvalstatement
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON compliance_approvaldecision
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON compliance_approvalexecution
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON compliance_approvalreview
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON compliance_approvalrequest
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON compliance_delegation
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON compliance_person
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();

-- --- Who is who --------------------------------------------------------------------------------------------
CREATE FUNCTION compliance_is_account_of(account bigint, who bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM compliance_personaccount a WHERE a.account_id = account AND a.person_id = who)
$$;

CREATE FUNCTION compliance_holds_role(account bigint, role text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM core_user u JOIN core_user_groups m ON m.user_id = u.id
                     JOIN auth_group g ON g.id = m.group_id
                    WHERE u.id = account AND u.is_active AND g.name = role)
$$;

-- Does the statement have the votes it asks for, from people who hold the roles today?
CREATE FUNCTION compliance_quorum_met(what bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (SELECT FROM compliance_approvaldecision d
                        WHERE d.statement_id = s.id AND d.decision = 'reject')
       AND (
            EXISTS (SELECT FROM compliance_approvaldecision d
                     WHERE d.statement_id = s.id AND d.decision = 'break_glass'
                       AND s.break_glass_roles ? d.role AND compliance_holds_role(d.actor_id, d.role))
            OR (s.quorum <> '{}'::jsonb AND NOT EXISTS (
                SELECT FROM jsonb_each_text(s.quorum) q
                 WHERE q.value::int > (
                    SELECT count(DISTINCT d.person_id) FROM compliance_approvaldecision d
                     WHERE d.statement_id = s.id AND d.decision = 'approve' AND d.role = q.key
                       AND compliance_holds_role(d.actor_id, d.role))))
       )
      FROM compliance_approvalstatement s WHERE s.id = what
$$;

-- --- Requests ----------------------------------------------------------------------------------------------
CREATE FUNCTION compliance_approval_step(source text, target text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT (source, target) IN (
        ('draft', 'draft'),
        ('draft', 'submitted'),
        ('draft', 'withdrawn'),
        ('submitted', 'draft'),
        ('submitted', 'partially_approved'),
        ('submitted', 'approved'),
        ('submitted', 'rejected'),
        ('submitted', 'withdrawn'),
        ('submitted', 'expired'),
        ('submitted', 'superseded'),
        ('partially_approved', 'draft'),
        ('partially_approved', 'partially_approved'),
        ('partially_approved', 'approved'),
        ('partially_approved', 'rejected'),
        ('partially_approved', 'withdrawn'),
        ('partially_approved', 'expired'),
        ('partially_approved', 'superseded'),
        ('approved', 'draft'),
        ('approved', 'executing'),
        ('approved', 'withdrawn'),
        ('approved', 'expired'),
        ('approved', 'superseded'),
        ('executing', 'executing'),
        ('executing', 'executed'),
        ('executing', 'failed'))
$$;

CREATE FUNCTION compliance_check_new_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> 'draft' OR NEW.version <> 1 OR NEW.released_person_id IS NOT NULL OR NEW.break_glass
       OR NEW.executing_xid IS NOT NULL THEN
        RAISE EXCEPTION 'A request begins as a draft.' USING ERRCODE = '23A01';
    END IF;
    IF NOT compliance_is_account_of(NEW.maker_id, NEW.maker_person_id) THEN
        RAISE EXCEPTION 'The maker''s account is not known to be that person''s.' USING ERRCODE = '23A02';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new BEFORE INSERT ON compliance_approvalrequest
    FOR EACH ROW EXECUTE FUNCTION compliance_check_new_request();

CREATE FUNCTION compliance_check_request() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    said compliance_approvalstatement;
    ended compliance_approvalexecution;
BEGIN
    IF NOT compliance_approval_step(OLD.state, NEW.state) THEN
        RAISE EXCEPTION 'A request does not go from % to %.', OLD.state, NEW.state USING ERRCODE = '23A01';
    END IF;
    IF (NEW.id, NEW.kind, NEW.object_type, NEW.object_id, NEW.maker_id, NEW.maker_person_id, NEW.created_at)
       IS DISTINCT FROM
       (OLD.id, OLD.kind, OLD.object_type, OLD.object_id, OLD.maker_id, OLD.maker_person_id, OLD.created_at)
       OR NEW.supersedes_id IS DISTINCT FROM OLD.supersedes_id THEN
        RAISE EXCEPTION 'What a request is about, and whose it is, never changes. Make a new one.'
            USING ERRCODE = '23A03';
    END IF;
    IF (NEW.payload, NEW.amount, NEW.evidence, NEW.reason, NEW.object_label)
       IS DISTINCT FROM (OLD.payload, OLD.amount, OLD.evidence, OLD.reason, OLD.object_label)
       OR NEW.version <> OLD.version THEN
        IF NEW.version <> OLD.version + 1 OR NEW.state <> 'draft' THEN
            RAISE EXCEPTION 'A changed payload is a new version, and a draft without votes.'
                USING ERRCODE = '23A03';
        END IF;
    ELSIF NEW.state = 'draft' AND OLD.state <> 'draft' THEN
        RAISE EXCEPTION 'Back to the draft is by a new version alone.' USING ERRCODE = '23A01';
    END IF;
    IF OLD.state NOT IN ('draft', 'submitted', 'partially_approved')
       AND NEW.state <> 'draft' AND (NEW.expires_at, NEW.break_glass, NEW.submitted_at, NEW.approved_at)
       IS DISTINCT FROM (OLD.expires_at, OLD.break_glass, OLD.submitted_at, OLD.approved_at) THEN
        RAISE EXCEPTION 'What was approved stands still.' USING ERRCODE = '23A03';
    END IF;
    IF OLD.released_person_id IS NOT NULL
       AND (NEW.released_person_id, NEW.released_by_id, NEW.released_at)
       IS DISTINCT FROM (OLD.released_person_id, OLD.released_by_id, OLD.released_at) THEN
        RAISE EXCEPTION 'Who released a request never changes.' USING ERRCODE = '23A03';
    END IF;
    IF NEW.released_person_id IS NOT NULL AND NEW.state NOT IN ('executing', 'executed', 'failed') THEN
        RAISE EXCEPTION 'Only an approved request is released.' USING ERRCODE = '23A01';
    END IF;
    IF NEW.executing_xid IS NOT NULL
       AND (NEW.state <> 'executing' OR NEW.executing_xid <> pg_current_xact_id()::text::bigint) THEN
        RAISE EXCEPTION 'A request is executed by the transaction that says so.' USING ERRCODE = '23A01';
    END IF;

    IF NEW.state IN ('submitted', 'partially_approved', 'approved', 'executing', 'executed', 'failed') THEN
        SELECT * INTO said FROM compliance_approvalstatement WHERE request_id = NEW.id AND version = NEW.version;
        -- Not asked of what is being executed: the gate itself finds out, and ends the request as failed.
        IF OLD.state <> 'executing' AND (said.id IS NULL OR NEW.expires_at IS DISTINCT FROM said.expires_at) THEN
            RAISE EXCEPTION 'There is nothing to sign for this version and deadline.' USING ERRCODE = '23A04';
        END IF;
    END IF;
    IF NEW.state <> OLD.state AND NEW.state IN ('approved', 'executing') THEN
        IF NOT compliance_quorum_met(said.id) THEN
            RAISE EXCEPTION 'The votes it needs are not there.' USING ERRCODE = '23A05';
        END IF;
        IF NEW.break_glass <> EXISTS (SELECT FROM compliance_approvaldecision d
                WHERE d.statement_id = said.id AND d.decision = 'break_glass') THEN
            RAISE EXCEPTION 'Glass is broken by a signed decision alone.' USING ERRCODE = '23A05';
        END IF;
        IF NEW.break_glass AND NEW.review_due_at IS NULL THEN
            RAISE EXCEPTION 'Broken glass needs a date for its review.' USING ERRCODE = '23A05';
        END IF;
    END IF;
    IF NEW.state = 'executing' AND OLD.state = 'approved' THEN
        IF NEW.released_person_id IS NULL OR NEW.released_at IS NULL OR NEW.released_at > said.expires_at
           OR NOT compliance_is_account_of(NEW.released_by_id, NEW.released_person_id) THEN
            RAISE EXCEPTION 'A known person releases a request, before it expires.' USING ERRCODE = '23A06';
        END IF;
        IF NEW.released_person_id = NEW.maker_person_id
           OR EXISTS (SELECT FROM compliance_approvaldecision d
                       WHERE d.statement_id = said.id AND d.person_id = NEW.released_person_id) THEN
            RAISE EXCEPTION 'Maker, checker and releaser are different people.' USING ERRCODE = '23A02';
        END IF;
        IF EXISTS (SELECT FROM compliance_delegation d
                    WHERE d.principal_id = NEW.maker_person_id AND d.delegate_id = NEW.released_person_id
                      AND d.starts_at <= NEW.released_at AND (d.ends_at IS NULL OR d.ends_at > NEW.created_at)) THEN
            RAISE EXCEPTION 'The maker''s delegate is no other pair of hands.' USING ERRCODE = '23A02';
        END IF;
        IF NOT EXISTS (SELECT FROM jsonb_array_elements_text(said.releaser_roles) r
                        WHERE compliance_holds_role(NEW.released_by_id, r)) THEN
            RAISE EXCEPTION 'The releaser holds none of the roles that may release.' USING ERRCODE = '23A06';
        END IF;
    END IF;
    IF NEW.state IN ('executed', 'failed') THEN
        SELECT * INTO ended FROM compliance_approvalexecution WHERE request_id = NEW.id;
        IF ended.id IS NULL OR ended.outcome <> NEW.state THEN
            RAISE EXCEPTION 'There is no record of that execution.' USING ERRCODE = '23A07';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_change BEFORE UPDATE ON compliance_approvalrequest
    FOR EACH ROW EXECUTE FUNCTION compliance_check_request();

-- --- Statements, decisions, executions, reviews --------------------------------------------------------------
CREATE FUNCTION compliance_check_statement() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    asked compliance_approvalrequest;
BEGIN
    SELECT * INTO asked FROM compliance_approvalrequest WHERE id = NEW.request_id FOR NO KEY UPDATE;
    IF asked.state IS DISTINCT FROM 'draft' OR asked.version <> NEW.version THEN
        RAISE EXCEPTION 'A statement is made of a draft''s present version.' USING ERRCODE = '23A04';
    END IF;
    IF NOT EXISTS (SELECT FROM compliance_approvalpolicy p WHERE p.id = NEW.policy_id AND p.kind = asked.kind) THEN
        RAISE EXCEPTION 'The policy is not one for this kind of action.' USING ERRCODE = '23A04';
    END IF;
    IF NEW.sha256 <> encode(sha256(convert_to(NEW.canonical, 'UTF8')), 'hex') THEN
        RAISE EXCEPTION 'The hash is not the statement''s.' USING ERRCODE = '23A04';
    END IF;
    IF NEW.quorum IS DISTINCT FROM (NEW.canonical::jsonb #> '{policy,quorum}')
       OR NEW.releaser_roles IS DISTINCT FROM (NEW.canonical::jsonb #> '{policy,releasers}')
       OR NEW.break_glass_roles IS DISTINCT FROM (NEW.canonical::jsonb #> '{policy,break_glass_roles}') THEN
        RAISE EXCEPTION 'The rules beside the statement are not those in it.' USING ERRCODE = '23A04';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new BEFORE INSERT ON compliance_approvalstatement
    FOR EACH ROW EXECUTE FUNCTION compliance_check_statement();

CREATE FUNCTION compliance_check_decision() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    asked compliance_approvalrequest;
    said compliance_approvalstatement;
BEGIN
    SELECT * INTO asked FROM compliance_approvalrequest WHERE id = NEW.request_id FOR NO KEY UPDATE;
    SELECT * INTO said FROM compliance_approvalstatement WHERE id = NEW.statement_id;
    IF asked.state NOT IN ('submitted', 'partially_approved') OR said.request_id <> asked.id
       OR said.version <> asked.version THEN
        RAISE EXCEPTION 'The request is not up for decision in this version.' USING ERRCODE = '23A01';
    END IF;
    IF NEW.at > said.expires_at THEN
        RAISE EXCEPTION 'The request has expired.' USING ERRCODE = '23A08';
    END IF;
    IF NOT compliance_is_account_of(NEW.actor_id, NEW.person_id) OR NEW.person_id = asked.maker_person_id THEN
        RAISE EXCEPTION 'Maker, checker and releaser are different people.' USING ERRCODE = '23A02';
    END IF;
    IF EXISTS (SELECT FROM compliance_delegation d
                WHERE d.principal_id = asked.maker_person_id AND d.delegate_id = NEW.person_id
                  AND d.starts_at <= NEW.at AND (d.ends_at IS NULL OR d.ends_at > asked.created_at)) THEN
        RAISE EXCEPTION 'The maker''s delegate is no second pair of eyes.' USING ERRCODE = '23A02';
    END IF;
    IF NOT compliance_holds_role(NEW.actor_id, NEW.role)
       OR NOT (CASE WHEN NEW.decision = 'break_glass' THEN said.break_glass_roles ? NEW.role
                    ELSE said.quorum ? NEW.role END) THEN
        RAISE EXCEPTION 'The vote counts for no role that the policy asks for.' USING ERRCODE = '23A06';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new BEFORE INSERT ON compliance_approvaldecision
    FOR EACH ROW EXECUTE FUNCTION compliance_check_decision();

CREATE FUNCTION compliance_check_execution() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM compliance_approvalrequest r
                     JOIN compliance_approvalstatement s ON s.request_id = r.id AND s.version = r.version
                    WHERE r.id = NEW.request_id AND r.state = 'executing' AND s.id = NEW.statement_id
                      AND r.executing_xid = pg_current_xact_id()::text::bigint) THEN
        RAISE EXCEPTION 'Only a released request is executed, by the transaction that says so.'
            USING ERRCODE = '23A07';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new BEFORE INSERT ON compliance_approvalexecution
    FOR EACH ROW EXECUTE FUNCTION compliance_check_execution();

CREATE FUNCTION compliance_check_review() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM compliance_approvalrequest r
                    WHERE r.id = NEW.request_id AND r.break_glass AND r.state IN ('executed', 'failed')
                      AND r.maker_person_id <> NEW.person_id AND r.released_person_id <> NEW.person_id)
       OR EXISTS (SELECT FROM compliance_approvaldecision d JOIN compliance_approvalrequest r ON r.id = d.request_id
                   WHERE r.id = NEW.request_id AND d.person_id = NEW.person_id)
       OR NOT compliance_is_account_of(NEW.reviewer_id, NEW.person_id) THEN
        RAISE EXCEPTION 'Broken glass is reviewed once it is done, by someone who had no part in it.'
            USING ERRCODE = '23A02';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new BEFORE INSERT ON compliance_approvalreview
    FOR EACH ROW EXECUTE FUNCTION compliance_check_review();

-- --- What only the gate may write -----------------------------------------------------------------------------
-- For the guards of other tables too: the request of that kind which this very transaction executes.
CREATE FUNCTION compliance_executing(what text) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT id FROM compliance_approvalrequest
     WHERE kind = what AND state = 'executing' AND executing_xid = pg_current_xact_id()::text::bigint
$$;

CREATE FUNCTION compliance_check_policy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- The first policy of all is founded with the database; every other one is a request's.
    IF NEW.request_id IS NULL AND NEW.kind = 'compliance.set_policy' AND NEW.version = 1
       AND NOT EXISTS (SELECT FROM compliance_approvalpolicy) THEN
        RETURN NEW;
    END IF;
    IF NEW.request_id IS NULL OR NEW.request_id IS DISTINCT FROM compliance_executing('compliance.set_policy')
       OR NOT EXISTS (SELECT FROM compliance_approvalrequest r WHERE r.id = NEW.request_id
                        AND r.payload -> 'document' = NEW.document AND NEW.document ->> 'kind' = NEW.kind) THEN
        RAISE EXCEPTION 'A policy comes from its approved request alone.' USING ERRCODE = '23A09';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_new BEFORE INSERT ON compliance_approvalpolicy
    FOR EACH ROW EXECUTE FUNCTION compliance_check_policy();
