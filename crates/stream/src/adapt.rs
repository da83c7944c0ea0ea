//! How fast and how well a vantage is rendered, from what its subscribers report.
