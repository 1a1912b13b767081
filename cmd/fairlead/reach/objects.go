// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package reach

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"fairlead/cmd/fairlead/reach/plan"
)

const (
	roleKey   = "fairlead/test-role"
	worldName = plan.Prefix + "world" // the ConfigMap that clients read
	worldDir  = "/etc/fairlead-test"
	worldFile = "world.json"
	// balancerClass belongs to no controller, so that no cloud makes a load balancer.
	balancerClass = "fairlead/test"
)

// A role is what a pod of the test does.
type role struct {
	name   string
	host   bool // in the network of the node
	client bool
}

func serverRoles() []role { return []role{{name: "server"}, {name: "server-host", host: true}} }

func clientRoles() []role {
	return []role{{name: "client", client: true}, {name: "client-host", host: true, client: true}}
}

// positions are the labels of the pods of the first nodes.
func positions() []plan.Backends { return []plan.Backends{plan.First, plan.Second} }

// podName returns the name of the pod with a role on the i-th node.
func podName(r role, i int) string { return fmt.Sprintf("%s%s-%d", plan.Prefix, r.name, i) }

// args returns the command line of the program in a pod.
func (t *test) args(r role) []string {
	args := []string{"probe", "--node", "$(NODE_NAME)"}
	switch {
	case r.client:
		args = append(args, "--world", worldDir+"/"+worldFile)
		if r.host {
			args = append(args, "--host")
		} else {
			args = append(args, "--port", strconv.Itoa(plan.PodPort))
		}
	case r.host:
		args = append(args, "--host", "--port", strconv.Itoa(int(t.opts.HostPort)))
	default:
		args = append(args, "--port", strconv.Itoa(plan.PodPort))
	}
	return args
}

// pod returns a pod on the i-th node. It asks for a node by name, as a DaemonSet's does in
// effect, so that a node which takes no more pods is tested, too.
func (t *test) pod(r role, i int) *corev1.Pod {
	c := corev1.Container{
		Name: "probe", Image: t.opts.Image, ImagePullPolicy: corev1.PullIfNotPresent, Args: t.args(r),
		Env: []corev1.EnvVar{{Name: "NODE_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}}},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
			RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), RunAsGroup: new(int64(65532)),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
		},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
	spec := corev1.PodSpec{
		NodeName: t.world.Nodes[i].Name, HostNetwork: r.host, RestartPolicy: corev1.RestartPolicyNever,
		DNSPolicy: corev1.DNSClusterFirst, AutomountServiceAccountToken: new(false),
		TerminationGracePeriodSeconds: new(int64(1)), EnableServiceLinks: new(false),
		Tolerations:     []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		SecurityContext: &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		// A test that was killed leaves pods that end by themselves.
		ActiveDeadlineSeconds: new(int64(t.opts.Timeout.Seconds()) + 60),
	}
	if t.opts.Keep {
		spec.ActiveDeadlineSeconds = nil
	}
	if r.host {
		spec.DNSPolicy = corev1.DNSClusterFirstWithHostNet
	}
	if r.client {
		spec.Volumes = []corev1.Volume{{Name: "world", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: worldName},
		}}}}
		c.VolumeMounts = []corev1.VolumeMount{{Name: "world", MountPath: worldDir, ReadOnly: true}}
	} else {
		port := int32(plan.PodPort)
		if r.host {
			port = int32(t.opts.HostPort)
		}
		c.Ports = t.hostPorts(r)
		c.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt32(port)}}}
	}
	spec.Containers = []corev1.Container{c}
	role := map[string]string{roleKey: r.name}
	if i < len(positions()) {
		role[roleKey+"-"+string(positions()[i])] = r.name
	}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: podName(r, i), Labels: labels(role)}, Spec: spec}
}

// hostPorts returns the ports of the node that lead to a server in the pod network. A
// measurement has none.
func (t *test) hostPorts(r role) (out []corev1.ContainerPort) {
	if r.host || t.opts.PodHostPort == 0 || t.duration > 0 {
		return nil
	}
	for _, proto := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
		out = append(out, corev1.ContainerPort{Name: "probe-" + strings.ToLower(string(proto)), Protocol: proto, ContainerPort: plan.PodPort, HostPort: int32(t.opts.PodHostPort)})
	}
	return out
}

// service returns the object of a Service of the plan.
func service(s *plan.Service) *corev1.Service {
	backends := map[plan.Backends]map[string]string{
		plan.Servers: {labelKey: labelValue, roleKey: "server"},
		plan.First:   {labelKey: labelValue, roleKey + "-" + string(plan.First): "server"},
		plan.Second:  {labelKey: labelValue, roleKey + "-" + string(plan.Second): "server"},
		plan.Clients: {labelKey: labelValue, roleKey: "client"},
	}
	out := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Labels: labels(nil)},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, Selector: backends[s.Backends], IPFamilyPolicy: new(corev1.IPFamilyPolicyPreferDualStack),
			Ports: []corev1.ServicePort{{
				Name: "probe", Protocol: corev1.Protocol(strings.ToUpper(string(s.Proto))), Port: plan.ServicePort, TargetPort: intstr.FromInt32(plan.PodPort),
			}},
		},
	}
	switch s.Kind {
	case plan.NodePort:
		out.Spec.Type = corev1.ServiceTypeNodePort
	case plan.ExternalLocal:
		out.Spec.Type, out.Spec.ExternalTrafficPolicy = corev1.ServiceTypeNodePort, corev1.ServiceExternalTrafficPolicyLocal
	case plan.InternalLocal:
		out.Spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyLocal)
	case plan.Hairpin:
		// Clients need no time until they are ready.
		out.Spec.InternalTrafficPolicy, out.Spec.PublishNotReadyAddresses = new(corev1.ServiceInternalTrafficPolicyLocal), true
	case plan.ExternalIP:
		for _, ip := range s.IPs {
			out.Spec.ExternalIPs = append(out.Spec.ExternalIPs, ip.String())
		}
	case plan.LoadBalancer, plan.BalancerLocal, plan.SourceRanges:
		out.Spec.Type, out.Spec.LoadBalancerClass = corev1.ServiceTypeLoadBalancer, new(balancerClass)
		out.Spec.AllocateLoadBalancerNodePorts = new(false)
		if s.Kind == plan.BalancerLocal {
			out.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		}
		for _, p := range plan.Ranges() {
			if s.Kind == plan.SourceRanges {
				out.Spec.LoadBalancerSourceRanges = append(out.Spec.LoadBalancerSourceRanges, p.String())
			}
		}
	case plan.Affinity:
		out.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	case plan.Headless:
		out.Spec.ClusterIP = corev1.ClusterIPNone
	}
	return out
}
