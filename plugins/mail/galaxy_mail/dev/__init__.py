"""What `backend dev` runs beside the mail plugin: a mail server that delivers nowhere, and a page that shows the mails.

Production imports none of it but `companion`; what the rest needs comes with the extra `galaxy-backend-mail[dev]`.
"""
