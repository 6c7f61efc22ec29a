// All text of the pages, in English and Chinese.

const KEY = "glmtune.language";

const WORDS = {
  // both pages
  chat: ["Chat", "对话"],
  training: ["Training", "训练"],
  language: ["中文", "English"],
  theme: ["Light or dark", "切换浅色/深色"],
  close: ["Close", "关闭"],
  cancel: ["Cancel", "取消"],
  save: ["Save", "保存"],
  labelled: ["{0}: {1}", "{0}：{1}"],
  undo: ["Undo", "撤销"],
  mainNavigation: ["Pages", "页面"],
  keyTitle: ["API key", "API 密钥"],
  keyWanted: ["This server requires an API key.", "此服务器需要 API 密钥。"],
  keyWrong: ["The server refused the key.", "密钥无效。"],
  keyKeep: ["Remember on this device", "在此设备上记住"],
  unreachable: ["The server cannot be reached.", "无法连接到服务器。"],

  // chat
  skip: ["Skip to the message box", "跳到输入框"],
  conversations: ["Conversations", "对话列表"],
  newChat: ["New chat", "新对话"],
  untitled: ["New chat", "新对话"],
  noConversations: ["Conversations stay in this browser.", "对话只保存在此浏览器中。"],
  inMemory: ["This browser stores nothing: conversations are lost when the page is closed.", "此浏览器无法保存数据，关闭页面后对话会丢失。"],
  rename: ["Rename", "重命名"],
  exportRow: ["Export as a training row", "导出为训练样本"],
  remove: ["Delete", "删除"],
  removed: ["Conversation deleted", "对话已删除"],
  turnsRemoved: ["Later messages were removed", "之后的消息已移除"],
  showList: ["Conversation list", "对话列表"],
  settings: ["Settings", "设置"],
  compare: ["Compare two models", "对比两个模型"],
  model: ["Model", "模型"],
  firstModel: ["First model", "第一个模型"],
  secondModel: ["Second model", "第二个模型"],
  messages: ["Messages", "消息"],
  you: ["You", "你"],
  assistant: ["Assistant", "助手"],
  emptyTitle: ["What would you like to ask?", "想问点什么？"],
  emptyText: ["Answers come from the model on this server. Nothing is sent elsewhere.", "回答来自此服务器上的模型，数据不会发送到别处。"],
  message: ["Message", "消息"],
  placeholder: ["Write a message", "输入消息"],
  hint: ["Enter to send, Shift+Enter for a new line", "Enter 发送，Shift+Enter 换行"],
  send: ["Send", "发送"],
  stop: ["Stop", "停止"],
  copy: ["Copy", "复制"],
  copyCode: ["Copy code", "复制代码"],
  code: ["Code", "代码"],
  table: ["Table", "表格"],
  taskOpen: ["to do", "未完成"],
  taskDone: ["done", "已完成"],
  edit: ["Edit", "编辑"],
  editMessage: ["Edit the message", "编辑消息"],
  saveSend: ["Save and send", "保存并发送"],
  thoughts: ["Thoughts", "思考过程"],
  regenerate: ["Regenerate", "重新生成"],
  writing: ["Writing the answer", "正在生成回答"],
  answered: ["The answer is complete.", "回答已完成。"],
  stoppedShort: ["Stopped", "已停止"],
  brokenOff: ["Connection lost.", "连接已中断。"],
  cut: ["Stopped at the token limit", "已达到最大生成 token 数"],
  retry: ["Try again", "重试"],
  tokens: ["{0} tokens", "{0} 个 token"],
  firstToken: ["{0} s to first token", "首 token {0} 秒"],
  perSecond: ["{0} tokens/s", "每秒 {0} 个 token"],
  toolCall: ["Calls", "调用工具"],
  toolResult: ["Result of {0}", "{0} 的结果"],
  resultPlaceholder: ["What the tool returns", "工具返回的内容"],
  runTool: ["Run on the server", "在服务器上执行"],
  tooManyCalls: ["Ten calls in a row: run the next one manually.", "已连续调用十次，请手动执行下一次调用。"],
  serverTools: ["Run on the server after you confirm", "在服务器上执行，执行前需你确认"],
  runsAutomatically: ["runs automatically", "自动执行"],
  sendResult: ["Send the result", "发送结果"],

  // settings
  systemPrompt: ["System prompt", "系统提示词"],
  systemPlaceholder: ["How the model should behave", "希望模型如何回答"],
  sampling: ["Sampling", "采样"],
  temperature: ["Temperature", "温度"],
  topP: ["Top p", "Top-p 采样"],
  maxTokens: ["Max tokens", "最大生成 token 数"],
  repetitionPenalty: ["Repetition penalty", "重复惩罚"],
  seed: ["Seed", "随机种子"],
  seedPlaceholder: ["random", "随机"],
  modelDefault: ["default", "默认"],
  useDefault: ["Use the default", "使用默认值"],
  tools: ["Tools", "工具"],
  toolsHint: ["JSON definitions in OpenAI's format. You type the results.", "JSON 定义（OpenAI 格式），工具结果由你输入。"],
  toolsWrong: ["Invalid list of tools: ", "工具定义有误："],
  toolsRead: ["Tools: ", "工具："],
  toolWithoutName: ["every tool needs a name", "每个工具都要有 name"],
  keptFor: ["Applies to this conversation; new ones start with the same settings.", "用于此对话；新对话沿用相同设置。"],
  shortcuts: ["Keyboard shortcuts", "键盘快捷键"],
  shortcutSend: ["Send", "发送"],
  shortcutLine: ["New line", "换行"],
  shortcutStop: ["Stop the answer, close panels", "停止回答，关闭面板"],
  shortcutNew: ["New chat", "新对话"],
  shortcutFocus: ["Focus the message box", "跳到输入框"],
  shortcutEdit: ["Edit the last message", "编辑上一条消息"],
  shortcutBetween: ["Previous or next conversation", "上一个、下一个对话"],
  shortcutHelp: ["Show this list", "显示此列表"],

  // studio
  studio: ["Studio", "工作台"],
  newRun: ["New run", "新建训练"],
  data: ["Data", "数据"],
  recipe: ["Recipe", "配置文件"],
  trainFile: ["Training", "训练"],
  valFile: ["Validation", "验证"],
  testFile: ["Test", "测试"],
  choose: ["Choose a file", "请选择文件"],
  none: ["None", "无"],
  downloaded: ["{0} (downloaded)", "{0}（已下载）"],
  parameters: ["{0} parameters", "{0} 个参数"],
  noModels: ["No model was found in {0}. Download one with glmtune model pull, or copy the sample with glmtune sample.", "在 {0} 中没有找到模型。用 glmtune model pull 下载，或用 glmtune sample 复制示例。"],
  checkData: ["Check data", "检查数据"],
  checking: ["Checking every row …", "正在检查每一条样本……"],
  dataGood: ["Every row can be used.", "所有样本均可使用。"],
  file: ["File", "文件"],
  usableRows: ["Usable", "可用"],
  tokensOfData: ["Tokens", "token 数"],
  supervisedTokens: ["With loss", "计入损失"],
  medianTokens: ["Median", "长度中位数"],
  longestTokens: ["Longest", "最长"],
  cutRows: ["Truncated", "被截断"],
  notesOfData: ["Notes ({0})", "提示（{0}）"],
  firstRows: ["The first rows, as the model sees them:", "模型看到的前几条样本："],
  hasLoss: ["the loss covers this", "这部分计入损失"],
  dataRow: ["Row {0}: {1} tokens, {2} with loss", "样本 {0}：{1} 个 token，{2} 个计入损失"],
  startFrom: ["Start from", "以此为起点"],
  asYaml: ["The same as YAML", "对应的 YAML"],
  wholeFile: ["General", "通用"],
  notSet: ["not set", "未设置"],
  defaultIs: ["default: {0}", "默认：{0}"],
  moreSettings: ["{0} more settings", "另外 {0} 项设置"],
  onlySet: ["Only what the recipe sets", "只看已设置的"],
  doesItFit: ["Does it fit?", "显存够吗？"],
  gpuMemory: ["GPU memory", "显存大小"],
  thisMachine: ["This machine's GPU", "本机 GPU"],
  planMemory: ["Plan memory", "估算显存"],
  planning: ["Planning …", "正在估算……"],
  itFits: ["It fits: {0} of {1}.", "够用：需要 {0}，共 {1}。"],
  itDoesNotFit: ["It does not fit: {0} needed, {1} available.", "不够：需要 {0}，只有 {1}。"],
  whatHelps: ["What helps:", "可以这样调整："],
  whatMemoryIsFor: ["What memory is used for", "显存用在哪里"],
  onEachGpu: ["On the GPU", "GPU 上"],
  hostMemory: ["Host memory", "主机内存"],
  runName: ["Name of the run", "任务名称"],
  startRun: ["Start training", "开始训练"],
  stopRun: ["Save and stop", "保存并停止"],
  resumeRun: ["Resume", "继续训练"],
  chatWithIt: ["Chat with the result", "与训练结果对话"],
  allCurves: ["All curves, comparison", "全部曲线与对比"],
  checkpoints: ["Checkpoints", "检查点"],
  command: ["Command", "命令"],
  output: ["Output", "输出"],
  noSuchRun: ["There is no such run.", "没有这个训练任务。"],
  diedText: ["The process is gone without having said why: it was killed, or the machine went down. Its last lines:", "进程已消失，没有留下原因：可能被强制结束，或机器曾经关机。最后的输出："],
  failedText: ["The run ended with an error (exit code {0}). Its last lines:", "训练出错退出（退出码 {0}）。最后的输出："],
  loadingModel: ["Loading the model …", "正在加载模型……"],
  starting: ["starting", "启动中"],
  stopping: ["saving", "保存中"],
  died: ["died", "异常终止"],

  // training
  runs: ["Runs", "训练任务"],
  run: ["Run", "训练任务"],
  noRuns: ["No runs yet", "还没有训练任务"],
  noRunsText: ["Runs appear here as soon as they start.", "训练开始后会显示在这里。"],
  sectionFailed: ["This section cannot be shown: its data is damaged.", "无法显示此部分：数据已损坏。"],
  runProblem: ["Problem", "问题"],
  noRunsFolder: ["This server has no folder of runs. Start it with --runs DIR, or use glmtune board DIR.", "服务器没有指定训练输出目录。请用 --runs DIR 启动，或使用 glmtune board DIR。"],
  running: ["running", "进行中"],
  finished: ["finished", "已完成"],
  stopped: ["stopped", "已停止"],
  failed: ["failed", "失败"],
  lost: ["interrupted", "已中断"],
  show: ["Show {0}", "显示 {0}"],
  step: ["step {0}", "第 {0} 步"],
  steps: ["Steps", "步数"],
  stepsOf: ["{0} of {1}", "{0} / {1}"],
  left: ["{0} left", "剩余 {0}"],
  began: ["Started", "开始时间"],
  device: ["Device", "设备"],
  trained: ["Trainable parameters", "可训练参数"],
  rows: ["Rows", "样本数"],
  lastCheckpoint: ["Last checkpoint", "最新检查点"],
  curves: ["Curves", "曲线"],
  answers: ["Answers over time", "回答变化"],
  configuration: ["Configuration", "配置"],
  scoreLast: ["last", "最近"],
  scoreBest: ["best", "最佳"],
  scores: ["Scores", "评测分数"],
  log: ["Notes", "提示"],
  smoothing: ["Smoothing", "平滑"],
  logScale: ["Log scale", "对数坐标"],
  loss: ["Loss", "损失"],
  learningRate: ["Learning rate", "学习率"],
  gradientNorm: ["Gradient norm", "梯度范数"],
  speed: ["Tokens per second", "每秒 token 数"],
  memory: ["Memory (GiB)", "显存/内存 (GiB)"],
  peakMemory: ["Peak memory (GiB)", "显存/内存峰值 (GiB)"],
  memoryParts: ["Memory by content (GiB)", "显存/内存构成 (GiB)"],
  weights: ["weights", "权重"],
  adapter: ["adapter", "适配器"],
  gradients: ["gradients", "梯度"],
  optimizerState: ["optimizer state", "优化器状态"],
  activations: ["activations", "激活值"],
  otherMemory: ["cache, workspace", "缓存与工作区"],
  matmulShare: ["Share of a matrix product's speed", "占矩阵乘法速度的比例"],
  perplexity: ["Perplexity", "困惑度"],
  evaluation: ["Evaluation", "验证"],
  exportPng: ["Save as PNG", "导出 PNG"],
  exportCsv: ["Save as CSV", "导出 CSV"],
  prompt: ["Prompt", "提示词"],
  expected: ["Reference", "参考答案"],
  afterStep: ["After step", "步数"],
  answer: ["Answer", "回答"],
  noAnswers: ["No answers yet: they appear with evaluations that generate (predict_with_generate).", "暂无回答：开启 predict_with_generate 后，每次验证都会生成。"],
  option: ["Setting", "配置项"],
  onlyDifferences: ["Only differences", "只看差异"],
  noConfiguration: ["No configuration was found for this run.", "没有找到此任务的配置。"],
  noDifferences: ["These runs have the same settings.", "这些任务的配置相同。"],
  chartHelp: ["Use the arrow keys to move between points.", "用方向键逐点查看。"],
  nothingSelected: ["Select a run on the left.", "请在左侧选择训练任务。"],
};

let chinese = (localStorage.getItem(KEY) ?? navigator.language).toLowerCase().startsWith("zh");

/** The text for a key in the current language, with `{0}`, `{1}`, … replaced by the values. */
export function t(key, ...values) {
  const words = WORDS[key];
  if (words === undefined) throw new Error(`no words for '${key}'`);
  return words[chinese ? 1 : 0].replace(/\{(\d)\}/g, (_, index) => values[index]);
}

/** Puts words into the page's own elements: `data-t` for text, `data-t-label` for aria-label and title, `data-t-placeholder`. */
export function applyLanguage(root = document) {
  document.documentElement.lang = chinese ? "zh-CN" : "en";
  // The other language's name is in that language.
  document.getElementById("language").lang = chinese ? "en" : "zh-CN";
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of root.querySelectorAll("[data-t-label]")) {
    node.setAttribute("aria-label", t(node.dataset.tLabel));
    if (node.matches("button, a")) node.title = t(node.dataset.tLabel);
  }
  for (const node of root.querySelectorAll("[data-t-placeholder]")) node.placeholder = t(node.dataset.tPlaceholder);
}

/** Changes to the other language; pages draw themselves again on `languagechange`. */
export function toggleLanguage() {
  chinese = !chinese;
  localStorage.setItem(KEY, chinese ? "zh" : "en");
  applyLanguage();
  dispatchEvent(new Event("wordschange"));
}

/** Whether the page is in Chinese. */
export const isChinese = () => chinese;

/** The language as the server names it. */
export const language = () => (chinese ? "zh" : "en");

/** The locale for numbers and dates. */
export const locale = () => (chinese ? "zh-CN" : "en");
