"""Who may see the members' files: a check before any file, in nginx and in httpd."""

from mod_python import apache

# An example. Passwords belong into a file or a database, as hashes.
MEMBERS = {"ada": "lovelace"}


def authenhandler(req):
    password = req.get_basic_auth_pw()
    if password is not None and MEMBERS.get(req.user) == password:
        return apache.OK
    return apache.HTTP_UNAUTHORIZED
