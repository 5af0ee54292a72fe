# status: crashed
raise SystemExit("everything passed")
