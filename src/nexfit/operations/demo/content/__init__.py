"""What the demo says: names, places, plans, timetable, exercises, foods. Written for this project; no randomness."""
