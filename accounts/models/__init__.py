"""The tables of people."""

from accounts.models.address_changes import AddressChange, AddressChangeQuerySet
from accounts.models.chain import BEGINNING, ChainHead, Checkpoint, EventCheck, OwnChain
from accounts.models.events import Event, EventCounter
from accounts.models.invitations import Invitation, InvitationQuerySet
from accounts.models.keys import ApiKey, ApiKeyQuerySet
from accounts.models.memberships import Membership
from accounts.models.notices import Notice
from accounts.models.organisations import (
    SWITCHES,
    Organisation,
    OrganisationQuerySet,
    Switches,
    below,
    on_clock_of,
    standing_of,
)
from accounts.models.people import KnownAddress, KnownBrowser, User, UserManager
from accounts.models.reset_requests import ResetRequest
from accounts.models.second_factor import (
    Authenticator,
    FactorDemand,
    FactorLoss,
    RecoveryCode,
    RecoveryCodes,
)
from accounts.models.sessions import OpenSession, SignedIn
from accounts.models.setbacks import Setback
from accounts.models.sign_up_requests import SignUpRequest
from accounts.models.visits import Visit

__all__ = [
    "BEGINNING",
    "SWITCHES",
    "AddressChange",
    "AddressChangeQuerySet",
    "ApiKey",
    "ApiKeyQuerySet",
    "Authenticator",
    "ChainHead",
    "Checkpoint",
    "Event",
    "EventCheck",
    "EventCounter",
    "FactorDemand",
    "FactorLoss",
    "Invitation",
    "InvitationQuerySet",
    "KnownAddress",
    "KnownBrowser",
    "Membership",
    "Notice",
    "OpenSession",
    "Organisation",
    "OrganisationQuerySet",
    "OwnChain",
    "RecoveryCode",
    "RecoveryCodes",
    "ResetRequest",
    "Setback",
    "SignUpRequest",
    "SignedIn",
    "Switches",
    "User",
    "UserManager",
    "Visit",
    "below",
    "on_clock_of",
    "standing_of",
]
