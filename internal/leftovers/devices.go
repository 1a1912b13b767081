// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

package leftovers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// podBridge is the bridge that flannel's conflist names.
const podBridge = "cni0"

// ownsDevice reports whether the owner made l and no other program uses it.
func (p *planner) ownsDevice(l *Link) bool {
	ours := p.aliased(l)
	switch {
	case p.owner == Fairlead:
		return ours && (!flannelVXLAN(l.Name) || slices.Contains(p.all, Flannel))
	case ours:
		return false
	case p.names.devices[l.Name] != "":
		return p.names.devices[l.Name] == l.Kind
	case p.owner == Flannel && l.Kind == "vxlan":
		return flannelVXLAN(l.Name)
	}
	return false
}

// aliased reports whether fairlead runs l, or did. A device with flannel's name may
// have belonged to flannel before, and again after.
func (p *planner) aliased(l *Link) bool {
	return l.Kind == "vxlan" && l.Alias == p.Alias && p.Alias != ""
}

// flannelVXLAN reports whether a device is named as flannel's backend does:
// after its VNI.
func flannelVXLAN(name string) bool {
	for _, prefix := range []string{"flannel.", "flannel-v6."} {
		if vni, ok := strings.CutPrefix(name, prefix); ok {
			_, err := strconv.ParseUint(vni, 10, 24)
			return err == nil
		}
	}
	return false
}

func (p *planner) devices() {
	for i := range p.state.Links {
		l := &p.state.Links[i]
		if p.ownsDevice(l) {
			p.remove(Removal{Kind: KindDevice, Name: l.Name, index: l.Index})
		}
		if p.owner == Fairlead && p.aliased(l) && !p.ownsDevice(l) {
			p.leave("device "+l.Name, "flannel may use it again", "fairlead cleanup --of=fairlead,flannel")
		}
		if l.Kind != "bridge" || !p.ownsBridge(l.Name) {
			continue
		}
		switch by := p.state.Claims[l.Name]; {
		case by != "":
			p.leave("device "+l.Name, by+" names it, too", "ip link delete "+l.Name+", unless that program needs it")
		case l.Ports == 0:
			p.remove(Removal{Kind: KindDevice, Name: l.Name, index: l.Index})
		default:
			p.leave("device "+l.Name, fmt.Sprintf("%d pods hang on it", l.Ports), "ip link delete "+l.Name+", once they are gone")
		}
	}
	if p.owner == KubeProxy && p.state.Virtual && slices.ContainsFunc(p.state.Links, p.isIPVS) {
		p.leave("services of IPVS", "they are unreachable without kube-ipvs0, and could be others'", "ipvsadm --clear")
	}
}

// ownsBridge: a node that went back to flannel has conflists of both, which name
// one bridge. The bridge then belongs to flannel. Other programs use flannel's name as well: a
// bridge that they name is flannel's only if flannel's files show that it ran here.
func (p *planner) ownsBridge(name string) bool {
	switch p.owner {
	case Flannel:
		ran := slices.Contains(p.state.Files, p.conflist(Flannel)) || slices.Contains(p.state.Files, p.SubnetFile)
		return name == podBridge && !p.KeepBridge && (ran || p.state.Claims[name] == "")
	case Fairlead:
		return name != "" && name == p.state.Bridge && !slices.Contains(p.state.Files, p.conflist(Flannel))
	}
	return false
}

func (p *planner) isIPVS(l Link) bool { return p.ownsDevice(&l) }

// legacy reports the objects that only the old iptables can remove.
func (p *planner) legacy() {
	for i := range p.state.Legacy {
		t := &p.state.Legacy[i]
		n := 0
		for _, c := range t.Chains {
			if p.names.ownsChain(c.Name) {
				n++
			}
		}
		if n == 0 {
			continue
		}
		tool := "iptables-legacy"
		if t.Family == "ip6" {
			tool = "ip6tables-legacy"
		}
		p.leave(fmt.Sprintf("table %s of %s, with %d chains of %s", t.Name, tool, n, p.owner), "legacy iptables cannot be changed over netlink",
			fmt.Sprintf("%s-save -t %s | grep -vE '%s' | %s-restore -T %s", tool, t.Name, p.pattern(), tool, t.Name))
	}
}

// pattern matches the lines of iptables-save that are about the owner's chains
// or jump to them.
func (p *planner) pattern() string {
	names := slices.Clone(p.names.chains)
	for _, prefix := range p.names.prefixes {
		names = append(names, prefix+"[A-Z0-9]+")
	}
	all := "(" + strings.Join(names, "|") + ")"
	return "(^:|-A |-[jg] )" + all + "( |$)"
}
