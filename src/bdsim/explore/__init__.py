"""`bdsim explore`: a page on this machine to tune parameters, explore scenarios and look at people.

    server     the page on the loopback address, one session a browser tab
    session    what the parts of a page share: its document, its address, work in the background
    controls   the controls of the page, native and labelled, and the scripts that draw them
    tuning     parameters against the facts, without any page        tune       ... as a part of the page
    worlds     scenarios run and compared, without any page          scenarios  ... as a part of the page
    editing    a scenario file as a form, without any page           editor     ... as a form of that part
    lives.py   (of bdsim) people                                     people     ... as a part of the page

Needs Panel: pip install -e '.[explore]'. docs/decisions/0007 says why Panel, and why these controls.
"""
