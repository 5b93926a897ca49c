// The API's description, read from this studio alone.
"use strict";
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger", validatorUrl: null, deepLinking: true, tryItOutEnabled: false, persistAuthorization: false });
