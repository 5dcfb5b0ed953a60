// A passkey was made: on to the page that the button names.
document.addEventListener("otp_webauthn.register_complete", (event) => {
  const block = event.target.closest("[data-passkey-after]");
  if (block) location.assign(block.dataset.passkeyAfter);
});
