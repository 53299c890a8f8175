-- The run, as its trace says it.
-- columns: started (unix ns), pid, rank, host, script, ended (word), exit status, simulated
SELECT started_unix_ns, pid, rank, host, coalesce(script, command), ended, exit_status, simulated
FROM run;
