"""The main job: generate, journal, resume, judge, write the folder (``run.run``, ``score.score``)."""
