"""`testudo view`: a local page that shows outcomes as pictures, texts and scores.

A request comes to `server`, which refuses what is none of its own. `site` reads `filters` from
its address, asks `questions` for rows and `contents` for what their messages hold, and gives both
to `pages`. What senders wrote is text to every template; of their pictures nothing is served but
what `pictures` has encoded anew.
"""
