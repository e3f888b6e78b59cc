// The client for pages with a publishable key. It is what loadStreambird() of
// the npm package @streambird/streambird-js loads; without a bundler a script
// element will do:
//
//   <script src="https://auth.example.com/streambird.js"></script>
//   <script>const client = Streambird("pk_live_…", {headless: true})</script>
//
// Calls go to the origin that this file came from. Names are in camelCase here
// and in snake_case on the wire.
(() => {
  "use strict";
  const home = new URL(document.currentScript.src).origin;
  const camel = (s) => s.replace(/_([a-z])/g, (_, c) => c.toUpperCase());
  const snake = (s) => s.replace(/[A-Z]/g, (c) => "_" + c.toLowerCase());
  const rename = (v, f) => {
    if (Array.isArray(v)) return v.map((item) => rename(item, f));
    if (v === null || typeof v !== "object") return v;
    return Object.fromEntries(Object.entries(v).map(([name, item]) => [f(name), rename(item, f)]));
  };
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  const minutes = (v) => (v === undefined || v === null ? undefined : Number(v));

  class StreambirdError extends Error {
    constructor({ message, eventType, errorType, status }) {
      super(message);
      Object.assign(this, { name: "StreambirdError", eventType, errorType, status });
    }
  }

  // store keeps the session of this page's origin.
  const store = {
    get: (name) => localStorage.getItem("streambird." + name),
    set(session) {
      localStorage.setItem("streambird.SESSION_TOKEN", session.sessionToken);
      localStorage.setItem("streambird.SESSION_JWT", session.sessionJwt);
    },
    clear() {
      localStorage.removeItem("streambird.SESSION_TOKEN");
      localStorage.removeItem("streambird.SESSION_JWT");
    },
  };

  const unsupported = (what) => async () => {
    throw new StreambirdError({ message: what + " is not supported by this server.", eventType: "EVENT_FAILED" });
  };
  // whole answers for members that the original has and this library has not: called,
  // they fail with its own error, however deep they stand.
  const whole = (group, name) =>
    new Proxy(group, {
      get(has, member) {
        if (typeof member === "symbol" || member in has || member === "then" || member === "toJSON" || member === "form") return has[member];
        return whole(unsupported(name + member), name + member + ".");
      },
    });

  function createClient(publicKey, options = {}) {
    const base = (options.apiHost || home + "/v1").replace(/\/+$/, "");
    let magic = options.emailMagicLinkOptions || {};
    let waiting = null;

    async function call(path, body) {
      let answer;
      try {
        answer = await fetch(base + "/auth/" + path, {
          method: "POST",
          headers: { Authorization: "Bearer " + publicKey, "Content-Type": "application/json" },
          body: JSON.stringify(rename(body, snake)),
        });
      } catch {
        throw new StreambirdError({ message: "The server can't be reached.", eventType: "API_ERROR" });
      }
      const data = rename(await answer.json(), camel);
      if (answer.ok) return data;
      throw new StreambirdError({ message: data.errorMessage, eventType: "API_ERROR", errorType: data.errorType, status: data.statusCode });
    }

    async function withSession(path, body = {}) {
      const sessionToken = store.get("SESSION_TOKEN");
      if (!sessionToken) throw new StreambirdError({ message: "Nobody is signed in.", eventType: "MISSING_TOKEN" });
      return call(path, { ...body, sessionToken });
    }

    const magicLinks = {
      getAutoVerify: () => magic.autoVerify === true,
      // beginLoginOrCreate sends the mail. With autoVerify, which the app's
      // configuration must allow, verificationDigits are to be shown to the
      // visitor, who types them on the page behind the link.
      async beginLoginOrCreate(email) {
        const made = await call("magic_links/email/login_or_create", {
          email,
          loginRedirectUrl: magic.loginRedirectUrl,
          registrationRedirectUrl: magic.registrationRedirectUrl,
          loginExpiresIn: minutes(magic.loginExpiresIn),
          registrationExpiresIn: minutes(magic.registrationExpiresIn ?? magic.registrationExpireIn),
          requiresVerification: magic.requiresVerification,
          autoVerify: magic.autoVerify,
        });
        return { ...made, verifiedRequired: made.status === "pending" };
      },
      // performCheckLoginStatus asks once; undefined while the link waits.
      async performCheckLoginStatus({ emailId, requestOriginToken }) {
        try {
          const session = await call("magic_links/email/login_status", { emailId, requestOriginToken });
          store.set(session);
          return session;
        } catch (error) {
          if (error.errorType === "magic_link_not_verified") return undefined;
          throw error;
        }
      },
      // beginVerifyEmail waits until the link was used, is too old, or deinit.
      // Without autoVerify a page has nothing to wait with.
      async beginVerifyEmail(made) {
        if (!made.requestOriginToken) {
          throw new StreambirdError({ message: "The link in the mail signs in where it leads. Waiting needs autoVerify.", eventType: "EVENT_FAILED" });
        }
        const mine = (waiting = {});
        while (waiting === mine) {
          const session = await magicLinks.performCheckLoginStatus(made);
          if (session) return session;
          await sleep(2000);
        }
        throw new StreambirdError({ message: "No longer waiting.", eventType: "EVENT_FAILED" });
      },
      // loginOrCreate does both. onDigits is called with the digits to show.
      async loginOrCreate(email, onDigits) {
        const made = await magicLinks.beginLoginOrCreate(email);
        if (made.verificationDigits) onDigits?.(made.verificationDigits);
        return magicLinks.beginVerifyEmail(made);
      },
    };

    const otps = {
      email: { loginOrCreate: (body) => call("otps/email/login_or_create", { ...body, expiresIn: minutes(body.expiresIn) }) },
      sms: { loginOrCreate: unsupported("otps.sms.loginOrCreate") },
    };

    const sessions = {
      async verify(body) {
        const session = await withSession("sdk/sessions/verify", body);
        store.set(session);
        return session;
      },
      async isLoggedIn() {
        try {
          await sessions.verify();
          return true;
        } catch (error) {
          if (error.status === 401 || error.eventType === "MISSING_TOKEN") return false;
          throw error;
        }
      },
      async delete() {
        const done = await withSession("sdk/sessions/delete");
        store.clear();
        return done;
      },
    };

    const users = {
      getCurrentUser: () => withSession("sdk/users/me"),
      update: (user) => withSession("sdk/users/update", user),
    };

    // init shows a form for the address in an element of the page.
    function init({ elementId, callbacks = {}, config = {} }) {
      magic = { ...magic, ...config.emailMagicLink };
      const style = config.componentStyle || {};
      const form = document.createElement("form");
      const label = document.createElement("label");
      const input = document.createElement("input");
      const button = document.createElement("button");
      const note = document.createElement("p");
      label.textContent = style.headerText || "Email address ";
      Object.assign(input, { type: "email", name: "email", autocomplete: "email", required: true });
      button.textContent = "Continue";
      note.setAttribute("role", "status");
      label.append(input);
      form.append(label, button, note);
      form.addEventListener("submit", async (event) => {
        event.preventDefault();
        button.disabled = true;
        callbacks.onSubmit?.({ eventType: "EVENT_SUBMIT", eventData: { email: input.value } });
        try {
          const made = await magicLinks.beginLoginOrCreate(input.value);
          note.textContent = "We have sent you a mail. Open the link in it" + (made.verificationDigits ? " and type " + made.verificationDigits + " there." : ".");
          if (!made.requestOriginToken) {
            callbacks.onSuccess?.({ eventType: "EVENT_SUCCESS", eventData: made });
            return;
          }
          const session = await magicLinks.beginVerifyEmail(made);
          note.textContent = "You are signed in.";
          callbacks.onSuccess?.({ eventType: "EVENT_SUCCESS", eventData: session });
        } catch (error) {
          note.textContent = error.message;
          callbacks.onError?.({ eventType: "EVENT_ERROR", eventData: error });
        } finally {
          button.disabled = false;
        }
      });
      document.getElementById(elementId).replaceChildren(form);
      client.form = form;
    }

    function deinit() {
      waiting = null;
      client.form?.remove();
      client.form = undefined;
    }

    const client = {
      magicLinks: whole(magicLinks, "magicLinks."),
      otps: whole({ email: whole(otps.email, "otps.email."), sms: whole(otps.sms, "otps.sms.") }, "otps."),
      sessions: whole(sessions, "sessions."), users: whole(users, "users."), init, deinit,
      async logout() {
        waiting = null;
        if (store.get("SESSION_TOKEN")) await sessions.delete().catch(() => store.clear());
      },
    };
    return whole(client, "");
  }

  window.Streambird = createClient;
})();
