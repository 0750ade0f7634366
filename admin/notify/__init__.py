"""Tells people of a release: Slack, Teams, mail, webhooks and whatever else apprise knows.

Rule: a release never waits for a notification, and never fails because of one. What is lost is counted.

    config      the settings of [releases.notify]
    templates   what is said of each event; pure but for reading the file
    lane        a target's own thread and bounded queue
    sending     apprise, imported when the first message is sent
    notifier    `tell`
"""
