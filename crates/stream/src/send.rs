//! What each subscriber is sent next, from one cached group per vantage.
