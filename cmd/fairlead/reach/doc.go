// SPDX-FileCopyrightText: The fairlead authors
// SPDX-License-Identifier: Apache-2.0

// Package reach tests the network of a cluster with pods and Services that it makes and
// removes. A pod in the network of pods and one in that of the node serve on each node;
// two more try what package plan lists, and print what came of it. The test reads their
// logs, which come through the API server and the kubelet, so that what it says about
// the network does not depend on that network.
package reach
