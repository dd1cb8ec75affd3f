DROP TRIGGER gate_guard ON risk_risklimit;
CREATE TRIGGER gate_guard AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON risk_risklimit
    FOR EACH STATEMENT EXECUTE FUNCTION
    compliance_gate_guard('risk.set_limit', 'risk.retire_limit', 'risk.apply_template');
DROP TRIGGER append_only ON trading_capitalflow;
DROP TRIGGER append_only ON trading_paperreport;
DROP TRIGGER append_only ON trading_fundingpayment;
DROP TRIGGER append_only ON trading_fill;
DROP TRIGGER check_fence ON trading_tradingcycle;
DROP FUNCTION trading_check_fence();
DROP TRIGGER check_change ON trading_councilvoice;
DROP FUNCTION trading_check_voice();
DROP TRIGGER check_change ON trading_deployment;
DROP FUNCTION trading_check_deployment();
