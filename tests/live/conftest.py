from tests.real_mail import cast, live, mail_server, make_program

__all__ = ["cast", "live", "mail_server", "make_program"]
