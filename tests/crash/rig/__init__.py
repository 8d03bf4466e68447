"""The whole system on real servers, its processes one by one, and each engine's own client. What tests/crash and tests/chaos stand on."""
