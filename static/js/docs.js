// The API's description, read from this studio alone, light or dark as the person's system is.
"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", follow);
  follow();
  SwaggerUIBundle({ url: `${document.documentElement.dataset.root}/openapi.json`, dom_id: "#swagger", validatorUrl: null, deepLinking: true, tryItOutEnabled: false, defaultModelsExpandDepth: 0, persistAuthorization: false });
})();
