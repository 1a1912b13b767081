// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package guard protects HTTP handlers as kube-rbac-proxy does: TLS, and two questions to
// the API server. TokenReview says whose the bearer token of a request is, and
// SubjectAccessReview says whether that user may use the method on the path, as a URL that
// is no resource.
//
// Strangers reach these ports, so memory, requests to the API server and time are bounded:
// answers are kept for a limited time in lists of limited length, few questions run at
// once, and tokens that nobody knows have a rate limit of their own. So a flood of wrong
// tokens delays neither the API server nor users whose tokens are known.
package guard
