// Package server is the self-hosted identity registry: it keeps providers,
// agents and their permissions, tells agents where those are that they may talk
// to, and issues and verifies the interaction tokens with which they meet.
//
// It answers the HTTP API of the Authed registry, so an unmodified Python SDK
// or CLI can use it, without its holes: agent secrets and keys are checked,
// secrets are kept as keyed hashes only, proofs cannot be replayed, and a token
// may be bound to its owner's key (RFC 9449). Everything lives in one embedded
// SQLite file and two key files beside it; nothing else is needed to run it.
//
// Tokens are signed with RS256 and an RSA-2048 key of the registry's own: it is
// the only algorithm that peers written for the original registry know. Agents'
// own keys may be RSA, ECDSA P-256 or Ed25519.
//
// [New] opens the store, [Server.Handler] is the API, [Server.Serve] runs it on
// a listener, [DevTLS] makes certificates for a developer's machine.
package server
