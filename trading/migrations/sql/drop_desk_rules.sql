DROP TRIGGER append_only ON trading_paperreport;
DROP TRIGGER append_only ON trading_fundingpayment;
DROP TRIGGER append_only ON trading_fill;
DROP TRIGGER check_fence ON trading_tradingcycle;
DROP FUNCTION trading_check_fence();
DROP TRIGGER check_change ON trading_deployment;
DROP FUNCTION trading_check_deployment();
