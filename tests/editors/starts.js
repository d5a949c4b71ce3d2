// What the extension for VS Code starts: node starts.js EXTENSION FOLDER SETTING, where the folder is that of the extension
// and the setting, as JSON, that of its user.

const Module = require("module");
const path = require("path");
const [extension, folder, setting] = process.argv.slice(2);
const workspaceFolders = [{ uri: { fsPath: path.resolve("/project") } }];
const STAND_INS = {
  vscode: {
    commands: { registerCommand: () => ({}) },
    workspace: { getConfiguration: () => ({ get: () => JSON.parse(setting) }), workspaceFolders },
  },
  "vscode-languageclient/node": { LanguageClient: class { async start() {} }, TransportKind: { stdio: 0 } },
};
const load = Module._load;
Module._load = (name, ...others) => STAND_INS[name] ?? load(name, ...others);

const { activate, chosen } = require(path.resolve(extension));
activate({ subscriptions: [], asAbsolutePath: (name) => path.join(folder, name) }).then(() => {
  const { command, args, options } = chosen();
  process.stdout.write(JSON.stringify([command, args, options?.env.PYTHONPATH ?? ""]));
});
