-- A file of evidence is its content: the database computes hash and size itself, and never lets go of it.
ALTER TABLE public.compliance_evidencefile
    ADD CONSTRAINT compliance_evidence_hash CHECK (sha256 = encode(pg_catalog.sha256(content), 'hex')),
    ADD CONSTRAINT compliance_evidence_whole CHECK (size = octet_length(content));
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON compliance_evidencefile
    FOR EACH STATEMENT EXECUTE FUNCTION compliance_refuse_change();
