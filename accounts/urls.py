"""Addresses below /account/."""

from django.urls import path

from accounts.views import (
    addresses,
    factors,
    joining,
    losing_factor,
    passkeys,
    passwords,
    recovery_codes,
    second_factor,
    security,
    signing_in,
)

app_name = "accounts"

urlpatterns = [
    path("sign-in", signing_in.sign_in, name="sign_in"),
    path("sign-out", signing_in.sign_out, name="sign_out"),
    path("sign-up", joining.sign_up, name="sign_up"),
    path("sign-up/open", joining.open_account, name="open_account"),
    path("invitation/<str:token>", joining.invitation, name="invitation"),
    # These alone answer whoever has signed in and still lacks the second factor.
    path("second-factor/", second_factor.verify, name="second_factor"),
    path("second-factor/enrol", second_factor.enrol, name="second_factor_enrol"),
    path("second-factor/password", second_factor.password_again, name="password_again"),
    path("second-factor/go-on/<str:key>", second_factor.go_on, name="go_on"),
    path("second-factor/passkey", passkeys.add, name="passkey_add"),
    path("second-factor/passkey/words.js", passkeys.words, name="passkey_words"),
    path("second-factor/passkey/register", passkeys.begin_adding, name="passkey_begin_adding"),
    path("second-factor/passkey/registered", passkeys.finish_adding, name="passkey_finish_adding"),
    path("second-factor/passkey/show", passkeys.begin_showing, name="passkey_begin_showing"),
    path("second-factor/passkey/shown", passkeys.finish_showing, name="passkey_finish_showing"),
    path("second-factor/lost", losing_factor.ask, name="factor_lost"),
    path("second-factor/lost/<str:token>", losing_factor.begin, name="factor_lost_begin"),
    path("second-factor/found/<str:token>", losing_factor.call_off, name="factor_found"),
    path("security/second-factor/", factors.device_list, name="factors"),
    path("security/second-factor/<slug:kind>/<int:pk>/name", factors.rename, name="rename_factor"),
    path(
        "security/second-factor/<slug:kind>/<int:pk>/remove", factors.remove, name="remove_factor"
    ),
    path("security/second-factor/codes", recovery_codes.make, name="recovery_codes"),
    path("security", security.overview, name="security"),
    path("security/password", security.change_password, name="change_password"),
    path("security/address", addresses.ask, name="change_address"),
    path("security/address/keep", addresses.keep, name="keep_address"),
    path("security/sessions/end", security.end_session, name="end_session"),
    path("security/sessions/end-others", security.end_others, name="end_other_sessions"),
    path("confirm", addresses.confirm, name="confirm_address"),
    path("confirm/send", addresses.send_again, name="send_confirmation"),
    path("address/confirm", addresses.confirm_new, name="confirm_new_address"),
    path("address/take-back", addresses.take_back, name="take_back_address"),
    path("password/forgotten", passwords.forgotten, name="forgotten_password"),
    path("password/new", passwords.reset, name="reset_password"),
]
