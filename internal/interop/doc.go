// Package interop proves that Pando agents and unmodified Python agents (the SDK
// of authed 0.2.5 under its own client and under FastAPI) understand each other, in
// both directions and when things go wrong. It has tests only.
package interop
