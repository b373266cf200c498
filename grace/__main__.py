from grace.main import main

main()
