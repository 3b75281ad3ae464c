"""The running process: intake, sweep, gate, and the operators' doors."""
