"""`/ws/live/`: one websocket a browser, one hub a process, every recorded event to those who may see it."""
