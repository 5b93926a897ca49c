// The API's description, read from this studio alone.
"use strict";
SwaggerUIBundle({ url: `${document.documentElement.dataset.root}/openapi.json`, dom_id: "#swagger", validatorUrl: null, deepLinking: true, tryItOutEnabled: false, persistAuthorization: false });
