"""What `backend dev` runs beside the mail plugin: a mail server that delivers nowhere, and a page that shows the mails.

Production imports only `companion`; the dependencies of the rest come with the extra `galaxy-backend-mail[dev]`.
"""
