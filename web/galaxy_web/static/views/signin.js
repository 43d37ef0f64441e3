/** Signing in by a code that comes by mail. */

import { sendCode } from "../api.js";
import { field, form, h, show } from "../dom.js";
import { signIn as confirm } from "../session.js";
import { spoken, t } from "../texts.js";

/**
 * @param {HTMLElement} root
 * @param {() => void} done
 */
export function signIn(root, done) {
  askAddress();

  function askAddress() {
    const email = h("input", { id: "email", name: "email", type: "email", required: true, autocomplete: "email" });
    const send = async () => askCode(email.value, (await sendCode(email.value, spoken())).challenge_id);
    const about = h("p", {}, t("A code comes by mail. There is no password."));
    const fields = [field(t("E-mail address"), email)];
    show(root, h("section", { class: "card narrow" }, h("h1", {}, t("Sign in")), about,
      form({ fields, button: t("Send the code"), send })));
    email.focus();
  }

  /**
   * @param {string} email
   * @param {string} challenge
   */
  function askCode(email, challenge) {
    const code = h("input", { id: "code", name: "code", inputmode: "numeric", autocomplete: "one-time-code", required: true });
    const send = async () => {
      await confirm(challenge, code.value.replace(/\s/g, ""));
      done();
    };
    const back = h("button", { type: "button", class: "quiet", onclick: askAddress }, t("Use another address"));
    show(root, h("section", { class: "card narrow" }, h("h1", {}, t("Enter the code")),
      h("p", {}, t("It was sent to {email}.", { email })),
      form({ fields: [field(t("Code"), code)], button: t("Sign in"), send }), back));
    code.focus();
  }
}
