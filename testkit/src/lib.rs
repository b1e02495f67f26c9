//! What the tests share: scripted clients and servers, the scenario runner.
