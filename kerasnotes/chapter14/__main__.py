from kerasnotes.course.run import main

raise SystemExit(main(__package__))
