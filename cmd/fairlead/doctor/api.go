// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	authv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"fairlead/cmd/fairlead/doctor/finding"
)

// apiWait is how long the API server may take for one answer.
const apiWait = 10 * time.Second

// checkAPI asks the API server for its version.
func (d *doctor) checkAPI(context.Context) {
	const check = "api"
	switch {
	case d.ClientErr != nil:
		d.unknown(check, "the API server was not asked: %v", d.ClientErr)
		return
	case d.Client == nil:
		d.unknown(check, "the API server was not asked: objects come from --manifests")
		return
	}
	v, err := d.Client.Discovery().ServerVersion()
	if err != nil {
		evidence, remedy := refusal(err)
		d.report.Add(check, finding.Error, remedy, "%s: %v", evidence, err)
		d.Client, d.ClientErr = nil, errors.New("the API server gives no answer") // the other checks would only wait
		return
	}
	d.ok(check, "the API server answers, version %s", v.GitVersion)
}

// refusal says what an error of the API server means, and what to do about it.
func refusal(err error) (evidence string, remedy []string) {
	var expired x509.CertificateInvalidError
	switch {
	case apierrors.IsUnauthorized(err):
		return "the API server does not accept the token or certificate of this command, which may have expired", []string{
			"check the clock of this node, and the time until which the credentials in --kubeconfig are valid",
			"for a service account restart the agent's pod, which gives it a new token; for a bootstrap kubeconfig make a new one",
		}
	case apierrors.IsForbidden(err):
		return "the API server knows this user, and denies the request for its version", []string{"bind the user to the ClusterRole system:public-info-viewer"}
	case errors.As(err, &expired) && expired.Reason == x509.Expired:
		return "the certificate of the API server is not valid at the time of this node", []string{
			"check the clock of this node: date -u",
			"if it is right, renew the certificate on the control plane: kubeadm certs renew apiserver, and restart the API server",
		}
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "the certificate of the API server is not signed by the authority in --kubeconfig", []string{
			"compare the certificate-authority of --kubeconfig with the one of the cluster: kubectl config view --raw",
		}
	case errors.As(err, new(x509.HostnameError)):
		return "the certificate of the API server is not for the address in --kubeconfig", []string{
			"use an address or name in --kubeconfig that the certificate has, or add it there: kubeadm's apiServer.certSANs",
		}
	}
	return "the API server gives no answer", []string{
		"check that the address in --kubeconfig is not a Service, which needs this node's table",
		"check that the API server runs and that a firewall lets this node connect",
	}
}

// Clocks may differ by clockWarn; certificates and tokens fail behind clockError.
const clockWarn, clockError = 5 * time.Second, time.Minute

// checkClock compares the clock of this node with that of the API server.
func (d *doctor) checkClock(context.Context) {
	const check = "clock"
	if d.Clock == nil {
		d.unknown(check, "the time of the API server is not known")
		return
	}
	server, local, ok := d.Clock()
	if !ok {
		d.unknown(check, "the API server did not say what time it is")
		return
	}
	diff := local.Sub(server).Truncate(time.Second) // the server sends whole seconds
	severity, remedy := finding.OK, []string(nil)
	if diff.Abs() > clockWarn {
		severity, remedy = finding.Warning, []string{"synchronise the clocks: systemctl enable --now chrony (or systemd-timesyncd) on this node and on the control plane"}
	}
	if diff.Abs() > clockError {
		severity = finding.Error
	}
	word := "ahead of"
	if diff < 0 {
		word = "behind"
	}
	d.report.Add(check, severity, remedy, "the clock of this node is %s %s that of the API server", diff.Abs(), word)
}

// right is a verb on a resource.
type right struct{ group, resource, subresource, verb, use string }

// rights returns what the agent asks of the API server with these flags.
func (d *doctor) rights() []right {
	var out []right
	for _, r := range [][2]string{{"", "services"}, {"", "nodes"}, {"", "pods"}, {"discovery.k8s.io", "endpointslices"}, {"networking.k8s.io", "servicecidrs"}} {
		for _, verb := range []string{"list", "watch"} {
			out = append(out, right{group: r[0], resource: r[1], verb: verb, use: "reading the cluster's objects"})
		}
	}
	for _, verb := range []string{"create", "patch"} {
		out = append(out, right{group: "events.k8s.io", resource: "events", verb: verb, use: "Events about problems"})
	}
	if n := &d.Config.Node; n.SetCondition || n.AnnounceUnderlay || d.Config.Proxier.FlannelCompat {
		out = append(out, right{resource: "nodes", subresource: "status", verb: "patch", use: "--set-node-network-available, --flannel-compat and the addresses of the overlay"})
	}
	if d.Config.Serve.Secure.Addr != "" {
		const use = "--secure-metrics-bind-address"
		out = append(out, right{group: "authentication.k8s.io", resource: "tokenreviews", verb: "create", use: use},
			right{group: "authorization.k8s.io", resource: "subjectaccessreviews", verb: "create", use: use})
	}
	return out
}

// checkRights asks the API server whether it permits what the agent does.
func (d *doctor) checkRights(ctx context.Context) {
	const check = "rbac"
	if d.Client == nil {
		d.unknown(check, "the rights at the API server are not known")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, apiWait)
	defer cancel()
	rights := d.rights()
	var denied []right
	for _, r := range rights {
		review, err := d.Client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authv1.SelfSubjectAccessReview{
			Spec: authv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authv1.ResourceAttributes{
				Group: r.group, Resource: r.resource, Subresource: r.subresource, Verb: r.verb,
			}},
		}, metav1.CreateOptions{})
		if err != nil {
			d.unknown(check, "the rights at the API server: %v", err)
			return
		}
		if !review.Status.Allowed {
			denied = append(denied, r)
		}
	}
	for _, r := range denied {
		severity := finding.Error
		if r.resource == "events" || r.subresource != "" || r.verb == "create" {
			severity = finding.Warning
		}
		d.report.Add(check, severity, []string{
			"apply the chart's ClusterRole and ClusterRoleBinding again: helm upgrade",
			fmt.Sprintf("or add to the ClusterRole: {apiGroups: [%q], resources: [%s], verbs: [%s]}", r.group, r, r.verb),
		}, "the user of this command may not %s %s, needed for %s", r.verb, r, r.use)
	}
	if len(denied) == 0 {
		d.ok(check, "the API server permits all %d requests that the agent makes", len(rights))
	}
}

// String returns the resource with its group, or its subresource.
func (r right) String() string {
	name := r.resource
	if r.subresource != "" {
		name += "/" + r.subresource
	}
	if r.group != "" {
		name += "." + r.group
	}
	return strings.TrimSpace(name)
}

// list returns ranges as people write them.
func list(prefixes []netip.Prefix) string { return strings.Trim(fmt.Sprint(prefixes), "[]") }

// checkObjects reads the objects, and says whether this Node is there.
func (d *doctor) checkObjects(ctx context.Context) {
	const check = "objects"
	if d.ClientErr != nil {
		d.unknown(check, "Services and nodes are not known")
		return
	}
	objects, err := d.Read(ctx)
	if err != nil {
		d.unknown(check, "%v", err)
	}
	if objects == nil {
		return
	}
	d.objects = objects
	d.describe(objects)
	nodes := objects.Nodes()
	switch {
	case objects.Node(d.Config.Proxier.NodeName) == nil && len(nodes) > 0:
		d.report.Add(check, finding.Error, []string{"give the agent the name of its Node object: --node-name"},
			"the cluster has %d nodes, and none is called %s", len(nodes), d.Config.Proxier.NodeName)
	case d.outside() != nil:
		d.report.Add(check, finding.Error, []string{"give the agents of all nodes the range that the controller manager gives to nodes: --cluster-cidr"},
			"the pods of this node have addresses of %s, which --cluster-cidr (%s) leaves out: pods get no network, or their addresses are masqueraded",
			list(d.outside()), list(d.Config.Proxier.ClusterCIDRs))
	case err == nil:
		d.ok(check, "%d Services and %d nodes were read", len(objects.Services()), len(nodes))
	}
}
