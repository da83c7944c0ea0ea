//! Drives headless Chromium through the scripts in `client/web/e2e`.
