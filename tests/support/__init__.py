"""What tests share: real servers, child processes, strategies. No test lives here."""
