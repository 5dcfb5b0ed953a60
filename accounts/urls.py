"""Addresses below /account/."""

from django.urls import path

from accounts import views

app_name = "accounts"

urlpatterns = [
    path("sign-in", views.sign_in, name="sign_in"),
    path("sign-out", views.sign_out, name="sign_out"),
    path("sign-up", views.sign_up, name="sign_up"),
    path("second-factor", views.verify, name="second_factor"),
    path("second-factor/enrol", views.enrol, name="second_factor_enrol"),
]
